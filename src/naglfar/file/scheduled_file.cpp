// Reading ahead into one buffer, and writing behind out of another.
//
// Invariants:
// - Nothing yields between a read into the thread's scratch buffer and its
//   copy into the file, so one scratch buffer serves all coroutines.
// - Only flusher_ waits for room to write. A coroutine that sends waits for
//   the flusher.
// - While sendingFile_, only sendfile() sends.

#include "naglfar/scheduled_file.hpp"

#include <algorithm>
#include <cassert>
#include <memory>
#include <optional>

namespace naglfar {

// [file-life]
ScheduledFile::ScheduledFile(ScheduledFile&& other) noexcept
    : autoflush(other.autoflush),
      bufferSize(other.bufferSize),
      deadline(other.deadline),
      timeout(other.timeout),
      nread(other.nread),
      nwrite(other.nwrite),
      fd_(std::move(other.fd_)),
      shared_(other.shared_),
      incoming_(std::move(other.incoming_)),
      taken_(std::exchange(other.taken_, 0)),
      outgoing_(std::move(other.outgoing_)),
      sending_(std::move(other.sending_)),
      sent_(std::exchange(other.sent_, 0)) {
  assert(other.flushing_.empty());
  // What leaves in the background goes on from here: the flusher sends what
  // it can, and waits again. It is neither if its scheduler has ended.
  if (!other.flusher_.waiter.watching() && !other.flusher_.queued()) return;
  other.flusher_.waiter.unwatch();
  flusher_.scheduler = other.flusher_.scheduler;
  flusher_.scheduler->wake(flusher_);
}

ScheduledFile ScheduledFile::fromSocket(int socket) {
  ScheduledFile file(sys::Fd(sys::check(sys::dup(socket), "dup")));
  file.shared_ = true;
  return file;
}

ScheduledFile ScheduledFile::connectTcp(const sys::Address& address,
                                        Deadline deadline) {
  ScheduledFile file(
      sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket")));
  goConnect(file.fileno(), address, deadline);
  file.autoflush = true;
  return file;
}
// [/file-life]

// [fill-and-take]
std::string_view ScheduledFile::pending() const {
  return std::string_view(incoming_).substr(taken_);
}

// False at the end of file.
bool ScheduledFile::fill() {
  if (closed()) sys::fail(EBADF, "read from a closed file");
  constexpr std::size_t scratchSize = 65536;
  static thread_local const std::unique_ptr<char[]> scratch(
      new char[scratchSize]);
  const std::size_t n =
      goReadSome(fd_.get(), {scratch.get(), scratchSize}, patience());
  // Dropping what was taken only when it is the larger part keeps the cost
  // of small reads from a large buffer linear.
  if (2 * taken_ >= incoming_.size()) {
    incoming_.erase(0, taken_);
    taken_ = 0;
  }
  incoming_.append(scratch.get(), n);
  nread += n;
  return n > 0;
}

std::string ScheduledFile::take(std::size_t n) {
  n = std::min(n, pending().size());
  std::string data;
  if (taken_ == 0 && 2 * n >= incoming_.size()) {
    data.swap(incoming_);  // and copy what stays, which is the smaller part
    incoming_.assign(data, n);
    data.resize(n);
  } else {
    data = pending().substr(0, n);
    taken_ += n;
  }
  return data;
}
// [/fill-and-take]

// [read]
std::string ScheduledFile::read(std::size_t n) {
  Scheduler::spend(fileno());
  while (pending().size() < n && fill()) continue;
  return take(n);
}

std::string_view ScheduledFile::peek() {
  Scheduler::spend(fileno());
  if (pending().empty()) fill();
  return pending();
}

std::string ScheduledFile::readline(std::size_t n,
                                    std::string_view separator) {
  assert(!separator.empty());
  Scheduler::spend(fileno());
  std::size_t searched = 0;
  for (;;) {
    const std::size_t found = pending().find(separator, searched);
    if (found != std::string_view::npos)
      return take(std::min(n, found + separator.size()));
    if (pending().size() >= n) return take(n);
    // A separator may have begun with the last bytes that are there.
    searched =
        pending().size() - std::min(pending().size(), separator.size() - 1);
    if (!fill()) return take(n);
  }
}

// [/read]

// [read-until]
ScheduledFile::Chunks ScheduledFile::readUntil(std::string separator,
                                               bool includingTxt) {
  return Chunks(*this, std::move(separator), includingTxt);
}

std::optional<std::string> ScheduledFile::Chunks::next() {
  Scheduler::spend(file_.fileno());
  std::string chunk;
  while (chunk.empty() && !found_) {
    const std::string_view pending = file_.pending();
    const std::size_t position = pending.find(separator_);
    found_ = position != std::string_view::npos;
    if (found_)
      chunk = file_.take(position + (includingTxt_ ? separator_.size() : 0));
    else if (pending.size() >= separator_.size())
      // All but what might be the beginning of the separator can go.
      chunk = file_.take(pending.size() - separator_.size() + 1);
    else if (!file_.fill()) {
      found_ = true;
      chunk = file_.take(unlimited);
    }
  }
  if (chunk.empty()) return std::nullopt;
  return chunk;
}

std::string ScheduledFile::Chunks::join() {
  std::string whole;
  for (const std::string& chunk : *this) whole += chunk;
  return whole;
}
// [/read-until]

// [send-some]
// Hands over what the kernel takes now. True if nothing is left. If the
// kernel takes piece after piece, the flusher goes on after the others' turn.
// The coroutine must not yield here: if it were cancelled meanwhile, no job
// would send the rest.
bool ScheduledFile::sendSome() {
  for (;;) {
    if (sendingFile_) return false;
    if (sent_ == sending_.size()) {
      sending_.clear();
      sent_ = 0;
      sending_.swap(outgoing_);
      if (sending_.empty()) return true;
    }
    const std::size_t n =
        tryWrite(fd_.get(), std::string_view(sending_).substr(sent_), last_);
    if (n == 0) return false;
    sent_ += n;
    nwrite += n;
    if (sent_ == sending_.size() || !Scheduler::overspends()) continue;
    flusher_.scheduler = &Scheduler::current();
    flusher_.scheduler->wake(flusher_);
    return false;
  }
}
// [/send-some]

// [write]
void ScheduledFile::write(std::string_view data) {
  if (autoflush || outgoing_.size() + data.size() > bufferSize)
    Scheduler::spend(fileno());
  if (closed()) sys::fail(EBADF, "write to a closed file");
  const bool idle = sending_.empty() && outgoing_.empty() && !sendingFile_;
  if (autoflush && idle && !data.empty()) {
    // Mostly the kernel takes all of it, and nothing has to be kept.
    const std::size_t n = tryWrite(fileno(), data);
    nwrite += n;
    data.remove_prefix(n);
    if (data.empty()) return;
  }
  // What is not sent at once grows piece by piece. A short answer finds room
  // in one allocation, which stays small, for many may wait beside it.
  if (!autoflush && outgoing_.empty()) outgoing_.reserve(112);
  outgoing_ += data;
  const bool full = outgoing_.size() > bufferSize;
  if (autoflush || full) send(full);
}
// [/write]

// [flush]
void ScheduledFile::flush(bool block) {
  Scheduler::spend(fileno());
  send(block);
}

// Without a turn for the others before it: what was written is on its way
// before the coroutine can be cancelled, and a destructor may call this.
void ScheduledFile::send(bool block) {
  if (closed()) sys::fail(EBADF, "flush of a closed file");
  while (!sendSome()) {
    if (!block && Scheduler::ofThread() != nullptr) return waitForRoom();
    awaitRoom("flush");
  }
  flusher_.waiter.unwatch();
  flushing_.notifyAll();  // it was sent for all of them
}
// [/flush]

// [room]
// Waits until roomToSend() notifies, or the flush that has sent what was
// there.
void ScheduledFile::awaitRoom(const char* call) {
  if (Scheduler::ofThread() == nullptr)  // no flusher would send
    return goWait(fileno(), Interest::write, patience());
  waitForRoom();
  WaitQueue::Entry entry(flushing_);
  const bool woken = Scheduler::current().park("a descriptor to write to",
                                               fileno(), patience());
  if (closed()) sys::fail(ECANCELED, call);
  // A coroutine that was notified in the same turn has to look, for there may
  // be no other left that waits for room.
  if (!woken && entry.waiting()) sys::fail(ETIMEDOUT, call);
}

void ScheduledFile::waitForRoom() {
  if (flusher_.waiter.watching() || flusher_.queued()) return;
  flusher_.scheduler = &Scheduler::current();
  flusher_.scheduler->watch(fileno(), Interest::write, flusher_.waiter);
}

// There is room, or an error, or a turn has used up its budget. The coroutine
// that flushes will see which. Another may have sent all and filled the room
// again since this job was queued: then it waits already, and must not do so
// twice.
void ScheduledFile::roomToSend() {
  flusher_.waiter.unwatch();
  if (!flushing_.empty()) return flushing_.notifyAll();
  if (closed()) return;
  try {
    send(false);
  } catch (const std::system_error&) {
    // What was not sent is still there: the next flush meets it again.
  }
}
// [/room]

// [sendfile]
std::size_t ScheduledFile::sendfile(int file, off_t offset,
                                    std::size_t nbytes) {
  flush();
  struct Turn {
    explicit Turn(ScheduledFile& owner) : file(owner) {
      file.sendingFile_ = true;
    }
    ~Turn() {
      file.sendingFile_ = false;
      file.roomToSend();  // for what was written meanwhile
    }
    ScheduledFile& file;
  } turn(*this);
  std::size_t sent = 0;
  while (sent < nbytes) {
    Scheduler::spend(fileno());
    const std::optional<std::size_t> n = trySendfile(
        file, fileno(), offset + static_cast<off_t>(sent), nbytes - sent);
    if (n == 0) break;  // the file has ended
    if (n) {
      sent += *n;
      nwrite += *n;
    } else {
      awaitRoom("sendfile");
    }
  }
  return sent;
}
// [/sendfile]

// [close]
void ScheduledFile::close(bool flushFirst) {
  if (closed()) return;
  struct Close {
    ~Close() {
      if (file.closed())
        return;  // by another coroutine, while this one waited
      file.flusher_.waiter.unwatch();
      file.fd_ = sys::Fd();
      file.flushing_.notifyAll();
    }
    ScheduledFile& file;
  } closeAnyhow{*this};
  last_ = !shared_;  // else the kernel would keep it, and wait for more
  if (flushFirst) flush();
}

// The peer may have plenty to send: each piece counts against the budget.
void ScheduledFile::lingeringClose(sys::Duration patience, std::size_t most) {
  last_ = !shared_;
  flush();
  sys::endWriting(fileno());
  deadline = after(patience);
  const std::size_t before = nread;
  try {
    while (nread - before < most && sys::now() < deadline && fill())
      take(unlimited);
  } catch (const std::system_error&) {
    // It has waited long enough, or has reset the connection.
  }
  close(false);
}
// [/close]

}  // namespace naglfar
