// Reading ahead into one buffer, and writing behind out of another.
//
// Invariants:
// - Nothing yields between a read into the thread's scratch buffer and its
//   copy into the file, so one scratch buffer serves all coroutines.
// - With a scheduler, only the file, as a job, waits for room to write, for
//   all coroutines that flush. These wait until they are notified: by the
//   job, by the flush that has sent all, or by close().
// - While sendingFile_, only sendfile() sends, and waits for room itself.
//
// It asks io for attempts to read and write, and the scheduler for wake-ups.

#include "naglfar/scheduled_file.hpp"

#include <array>
#include <cassert>

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
      incoming_(std::move(other.incoming_)),
      taken_(std::exchange(other.taken_, 0)),
      outgoing_(std::move(other.outgoing_)),
      sent_(std::exchange(other.sent_, 0)) {
  assert(other.flushing_.empty());
  // What leaves in the background goes on from here: the job sends what it
  // can, and waits again. If its scheduler has ended, the other file's job
  // neither waits nor is queued.
  if (!other.room_.watching() && !other.queued()) return;
  other.room_.unwatch();
  if (Scheduler* scheduler = Scheduler::ofThread()) scheduler->wake(*this);
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
// Drops the first bytes of a buffer, which have left, as soon as they are the
// larger part. So the cost of small pieces of a large buffer stays linear.
static void compact(std::string& buffer, std::size_t& left) {
  if (2 * left < buffer.size()) return;
  buffer.erase(0, left);
  left = 0;
}

std::string_view ScheduledFile::pending() const {
  return std::string_view(incoming_).substr(taken_);
}

// False at the end of file.
bool ScheduledFile::fill() {
  if (closed()) sys::fail(EBADF, "read from a closed file");
  // No vector: glibc ends a process that has no memory left to note that a
  // thread has something to destroy.
  static thread_local std::array<char, 65536> scratch;
  const std::size_t n = goReadSome(fd_.get(), scratch, patience());
  compact(incoming_, taken_);
  incoming_.append(scratch.data(), n);
  nread += n;
  return n > 0;
}

std::string ScheduledFile::take(std::size_t n) {
  n = std::min(n, available());
  if (taken_ == 0 && 2 * n >= incoming_.size()) {
    // What stays is the smaller part, so that is copied.
    std::string data = std::exchange(incoming_, incoming_.substr(n));
    data.resize(n);
    return data;
  }
  taken_ += n;
  return incoming_.substr(taken_ - n, n);
}
// [/fill-and-take]

// [read]
std::string ScheduledFile::read(std::size_t n) {
  Scheduler::spend(fileno());
  while (available() < n && fill()) continue;
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
      n = std::min(n, found + separator.size());
    // A separator may have begun with the last bytes that are there.
    searched = available() - std::min(available(), separator.size() - 1);
    if (available() >= n || !fill()) return take(n);
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
  std::size_t n = 0;
  while (n == 0 && !found_) {
    const std::string_view pending = file_.pending();
    const std::size_t position = pending.find(separator_);
    found_ = position != std::string_view::npos;
    if (found_)
      n = position + (including_ ? separator_.size() : 0);
    else if (pending.size() >= separator_.size())
      // All but what might be the beginning of the separator can go.
      n = pending.size() - separator_.size() + 1;
    else if (!file_.fill()) {
      found_ = true;
      n = unlimited;
    }
  }
  return unlessEmpty(file_.take(n));
}

std::string ScheduledFile::Chunks::join() {
  std::string whole;
  for (const std::string& chunk : *this) whole += chunk;
  return whole;
}
// [/read-until]

// [send-some]
// Hands over what the kernel takes now. True if nothing is left. If the
// kernel takes piece after piece, the job goes on after the others' turn.
// The coroutine must not yield here: if it were cancelled meanwhile, no job
// would send the rest.
bool ScheduledFile::sendSome() {
  if (sendingFile_) return false;
  while (!outgoing_.empty()) {
    const std::size_t n =
        tryWrite(fileno(), std::string_view(outgoing_).substr(sent_), last_);
    if (n == 0) return false;
    sent_ += n;
    nwrite += n;
    compact(outgoing_, sent_);
    if (outgoing_.empty() || !Scheduler::overspends()) continue;
    Scheduler::current().wake(*this);
    return false;
  }
  return true;
}
// [/send-some]

// [write]
void ScheduledFile::write(std::string_view data) {
  if (autoflush || unsent() + data.size() > bufferSize)
    Scheduler::spend(fileno());
  if (closed()) sys::fail(EBADF, "write to a closed file");
  if (autoflush && outgoing_.empty() && !sendingFile_ && !data.empty()) {
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
  const bool full = unsent() > bufferSize;
  if (autoflush || full) send(full);
}
// [/write]

// [flush]
void ScheduledFile::flush(bool block) {
  Scheduler::spend(fileno());
  send(block);
}

// Without a turn for the others before it: what was written is on its way
// before the coroutine can be cancelled, and a destructor may call this. To
// wait means to wait for the job, or for the flush that has sent it all.
void ScheduledFile::send(bool block) {
  if (closed()) sys::fail(EBADF, "flush of a closed file");
  while (!sendSome()) {
    if (Scheduler::ofThread() == nullptr) {  // no job would send
      goWait(fileno(), Interest::write, patience());
      continue;
    }
    if (!sendingFile_ && !room_.watching() && !queued())
      Scheduler::current().watch(fileno(), Interest::write, room_);
    if (!block) return;
    WaitQueue::Entry entry(flushing_);
    try {
      const bool woken = Scheduler::current().park("a descriptor to write to",
                                                   fileno(), patience());
      if (closed()) sys::fail(ECANCELED, "flush");
      // A coroutine that was notified in the same turn has to look, for there
      // may be no other left that waits for room.
      if (!woken && entry.waiting()) sys::fail(ETIMEDOUT, "flush");
    } catch (const Unwind&) {
      // It was notified that there is room: the job goes on in its place.
      if (!entry.waiting()) Scheduler::current().wake(*this);
      throw;
    }
  }
  room_.unwatch();
  flushing_.notifyAll();  // it was sent for all of them
}
// [/flush]

// [room]
// There is room, or an error, or a turn has used up its budget. The coroutine
// that flushes will see which. Another coroutine may have sent all and filled
// the room again since this job was queued: then room_ watches already, and
// must not watch twice.
void ScheduledFile::run() {
  room_.unwatch();
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
    ~Turn() {
      file.sendingFile_ = false;
      file.run();  // for what was written meanwhile
    }
    ScheduledFile& file;
  } turn{*this};
  sendingFile_ = true;
  std::size_t sent = 0;
  while (sent < nbytes) {
    const std::size_t n =
        goSendfileSome(file, fileno(), offset + static_cast<off_t>(sent),
                       nbytes - sent, patience());
    if (n == 0) break;  // the file has ended
    sent += n;
    nwrite += n;
  }
  return sent;
}
// [/sendfile]

// [close]
void ScheduledFile::close(bool flushFirst) {
  last_ = true;
  try {
    if (flushFirst && !closed()) flush();
  } catch (...) {
    close(false);
    throw;
  }
  room_.unwatch();
  fd_ = sys::Fd();
  flushing_.notifyAll();
}

// The peer may have plenty to send: each piece counts against the budget.
void ScheduledFile::lingeringClose(sys::Duration patience, std::size_t most) {
  last_ = true;
  flush();
  sys::endWriting(fileno());
  deadline = after(patience);
  const std::size_t before = nread;
  try {
    while (nread - before < most && sys::now() < deadline && fill())
      take(unlimited);
  } catch (const std::system_error&) {
    // The time is over, or the peer has reset the connection.
  }
  close(false);
}
// [/close]

}  // namespace naglfar
