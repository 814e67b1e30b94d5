// Reading ahead into one buffer, and writing behind out of another.
//
// Invariants:
// - Nothing yields between a read into the scheduler's scratch buffer and its
//   copy into the file, so one scratch buffer serves all coroutines.
// - With a scheduler, only the file, as a job, waits for room to write, for
//   all coroutines that flush. These wait until they are notified: by the
//   job, by a call that has sent something, or by close().
// - A direct call sends bytes that are not in outgoing_. Only the first of
//   them sends, when what was written before it has left; then no other call
//   sends, and it waits for room itself.
// - After each wait, a call on a file that was destroyed touches it no more.
// - Where a call has read or sent a part and finds no memory for the rest, it
//   closes the file: the stream may end early, but it has no hole.
//
// It asks io for attempts to read and write, and the scheduler for wake-ups.

#include "naglfar/scheduled_file.hpp"

#include <cassert>
#include <new>
#include <stdexcept>

namespace naglfar {

// [file-life]
ScheduledFile::ScheduledFile(ScheduledFile&& other) noexcept
    : autoflush(other.autoflush),
      bufferSize(other.bufferSize),
      deadline(other.deadline),
      timeout(other.timeout),
      peerMaySend(other.peerMaySend),
      nread(other.nread),
      nwrite(other.nwrite),
      fd_(std::move(other.fd_)),
      incoming_(std::move(other.incoming_)),
      taken_(std::exchange(other.taken_, 0)),
      outgoing_(std::move(other.outgoing_)),
      sent_(std::exchange(other.sent_, 0)),
      last_(other.last_),
      held_(other.held_) {
  assert(other.flushes_.empty() && other.direct_.empty());
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
// The memory of what has left goes back, but for a little.
static void compact(std::string& buffer, std::size_t& left) {
  constexpr std::size_t little = 4096;
  if (2 * left < buffer.size()) return;
  buffer.erase(0, left);
  left = 0;
  if (buffer.capacity() > little + 4 * buffer.size()) buffer.shrink_to_fit();
}

std::string_view ScheduledFile::pending() const {
  return std::string_view(incoming_).substr(taken_);
}

// Makes room for bytes that would else be lost.
template <class Grow>
void ScheduledFile::keep(Grow grow) {
  try {
    grow();
  } catch (const std::bad_alloc&) {
    close(false);
    throw;
  }
}

// False at the end of file.
bool ScheduledFile::fill() {
  if (closed()) sys::fail(EBADF, "read from a closed file");
  // A coroutine's stack has no room for 64 KiB, and the coroutines of a
  // thread can share them. A thread without a scheduler takes less, because
  // there may be many such threads.
  Scheduler* const scheduler = Scheduler::ofThread();
  std::string own;
  std::string& scratch = scheduler != nullptr ? scheduler->scratch : own;
  if (scratch.empty()) scratch.resize(scheduler != nullptr ? 65536 : 8192);
  const std::size_t n = goReadSome(fd_.get(), scratch, patience());
  keep([&] { incoming_.append(scratch.data(), n); });
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
  std::string data = incoming_.substr(taken_, n);
  taken_ += n;
  compact(incoming_, taken_);
  return data;
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
  if (separator.empty())
    throw std::invalid_argument("readline: the separator is empty");
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
// How many bytes of outgoing_ may leave before a direct call has its turn.
std::size_t ScheduledFile::sendable() const {
  return direct_.empty() ? unsent() : direct_.first()->place - sentSoFar_;
}

// Hands over what the kernel takes now, and has the job send the rest. If the
// kernel takes piece after piece, the job goes on after the others' turn. The
// coroutine must not yield here: if it were cancelled meanwhile, no job would
// send the rest.
void ScheduledFile::sendSome() {
  bool room = true;
  while (room && sendable() > 0) {
    const std::string_view next =
        std::string_view(outgoing_).substr(sent_, sendable());
    const std::size_t n = tryWrite(fileno(), next, last_);
    room = n > 0;
    held_ = held_ || (last_ && room);
    sent_ += n;
    sentSoFar_ += n;
    nwrite += n;
    compact(outgoing_, sent_);
    if (room) flushing_.notifyAll();  // of progress
    if (room && sendable() > 0 && Scheduler::overspends())
      return Scheduler::current().wake(*this);
  }
  if (room)
    room_.unwatch();
  else if (Scheduler::ofThread() != nullptr && !room_.watching() && !queued())
    Scheduler::current().watch(fileno(), Interest::write, room_);
}
// [/send-some]

// [calls]
ScheduledFile::Call::Call(ScheduledFile& file, List<Call>& calls)
    : number(++file.calls_), place(file.sentSoFar_ + file.unsent()) {
  calls.append(*this);
}

struct ScheduledFile::DirectCall : Call {
  explicit DirectCall(ScheduledFile& sender)
      : Call(sender, sender.direct_), file(sender) {}
  ~DirectCall() {
    if (!linked()) return;
    unlink();
    file.run();  // for what was written meanwhile
  }
  ScheduledFile& file;
};

void ScheduledFile::awaitTurn(const Call& call) {
  while (sendSome(), sendable() > 0 || direct_.first() != &call) {
    awaitRoom(call);
    if (closed()) sys::fail(ECANCELED, "write");
  }
}
// [/calls]

// [write]
void ScheduledFile::write(std::string_view data) {
  if (autoflush || unsent() + data.size() > bufferSize)
    Scheduler::spend(fileno());
  if (closed()) sys::fail(EBADF, "write to a closed file");
  if (autoflush && outgoing_.empty() && direct_.empty() && !data.empty()) {
    // Mostly the kernel takes all of it, and nothing has to be kept.
    std::size_t n = 0;
    try {
      n = tryWrite(fileno(), data);
    } catch (const std::system_error&) {
      outgoing_ = data;  // the next flush meets the error again
      throw;
    }
    nwrite += n;
    data.remove_prefix(n);
    if (data.empty()) return;
    if (n > 0)
      keep([&] { outgoing_.reserve(std::min(data.size(), bufferSize)); });
  }
  // What is not sent at once grows piece by piece. A short answer finds room
  // in one allocation, which stays small, for many may wait beside it.
  if (!autoflush && outgoing_.empty()) outgoing_.reserve(112);
  const std::size_t room = bufferSize - std::min(bufferSize, unsent());
  outgoing_ += data.substr(0, room);
  if (data.size() > room)
    writeDirectly(data.substr(room));
  else if (autoflush)
    send(false);
}

void ScheduledFile::writeDirectly(std::string_view data) {
  const DirectCall call(*this);
  try {
    awaitTurn(call);
    while (!data.empty()) {
      Scheduler::spend(fileno());
      const std::size_t n = tryWrite(fileno(), data);
      if (n == 0) goWait(fileno(), Interest::write, patience());
      nwrite += n;
      data.remove_prefix(n);
      if (n > 0) flushing_.notifyAll();  // of progress
    }
  } catch (...) {
    // The rest keeps its place: the next flush sends it.
    if (!call.linked()) throw;
    keep([&] { outgoing_.insert(sent_ + call.place - sentSoFar_, data); });
    for (const List<Call>* calls : {&direct_, &flushes_})
      for (Call* c = calls->first(); c != nullptr; c = calls->next(*c))
        if (c->number > call.number) c->place += data.size();
    throw;
  }
}

void ScheduledFile::takeBack(std::size_t n) {
  assert(n <= unsent());
  outgoing_.resize(outgoing_.size() - n);
  compact(outgoing_, sent_);
}
// [/write]

// [flush]
void ScheduledFile::flush(bool block) {
  Scheduler::spend(fileno());
  send(block);
}

// Without a turn for the others before it: what was written is on its way
// before the coroutine can be cancelled. To wait means to wait for the job,
// for the direct calls that came before, or for any call that sends.
void ScheduledFile::send(bool block) {
  if (closed()) sys::fail(EBADF, "flush of a closed file");
  const Call call(*this, flushes_);
  const auto sent = [&] {
    return sentSoFar_ >= call.place &&
           (direct_.empty() || direct_.first()->number > call.number);
  };
  sendSome();
  while (!sent() && (block || Scheduler::ofThread() == nullptr)) {
    awaitRoom(call);
    if (sent()) return;
    if (closed()) sys::fail(ECANCELED, "flush");
    sendSome();
  }
}

// May end in vain. Without a scheduler no job would send, so the thread does.
void ScheduledFile::awaitRoom(const Call& call) {
  if (Scheduler::ofThread() == nullptr)
    return goWait(fileno(), Interest::write, patience());
  WaitQueue::Entry entry(flushing_);
  try {
    const bool woken = Scheduler::current().park("a descriptor to write to",
                                                 fileno(), patience());
    if (!call.linked()) sys::fail(ECANCELED, "flush of a destroyed file");
    // A coroutine that was notified in the same turn has to look, for there
    // may be no other left that waits for room.
    if (!woken && entry.waiting()) sys::fail(ETIMEDOUT, "flush");
  } catch (const Unwind&) {
    // It was notified that there is room: the job goes on in its place.
    if (call.linked() && !entry.waiting()) Scheduler::current().wake(*this);
    throw;
  }
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
    sendSome();
  } catch (const std::exception&) {
    // What was not sent is still there: the next flush meets the error again.
  }
}
// [/room]

// [sendfile]
std::size_t ScheduledFile::sendfile(int file, off_t offset,
                                    std::size_t nbytes) {
  Scheduler::spend(fileno());
  if (closed()) sys::fail(EBADF, "sendfile to a closed file");
  const DirectCall call(*this);
  awaitTurn(call);
  std::size_t sent = 0;
  while (sent < nbytes) {
    const std::size_t n =
        goSendfileSome(file, fileno(), offset + static_cast<off_t>(sent),
                       nbytes - sent, patience());
    if (n == 0) break;  // the file has ended
    sent += n;
    nwrite += n;
    flushing_.notifyAll();  // of progress
  }
  return sent;
}
// [/sendfile]

// [close]
// Sends what was written, and closes the file if that fails.
void ScheduledFile::sendLast() {
  const Call call(*this, flushes_);
  last_ = true;
  try {
    flush();
  } catch (...) {
    if (call.linked()) close(false);
    throw;
  }
}

// If bytes come that are not read, close(2) is a reset, in which what the
// kernel holds back would be lost. shutdown(2) sends that, with the end in
// the same segment.
void ScheduledFile::close(bool flushFirst) {
  if (flushFirst && !closed()) sendLast();
  if (flushFirst && held_ && peerMaySend && !closed())
    sys::endWriting(fileno());
  room_.unwatch();
  fd_ = sys::Fd();
  flushing_.notifyAll();
}
// [/close]

// [lingering-close]
void ScheduledFile::lingeringClose(sys::Duration patience, std::size_t most) {
  sendLast();
  linger(patience, most);
}

// Bytes that are on their way arrive before a reset. The first ten segments
// are on their way at once (RFC 6928); what else was sent may wait in the
// kernel for the peer to take it, and a reset drops it there.
void ScheduledFile::finish(sys::Duration patience, std::size_t most) {
  constexpr std::size_t firstFlight = 14600;  // bytes
  if (closed()) return;
  sendLast();
  if (closed() || !peerMaySend || nwrite == 0) return close(false);
  if (nwrite > firstFlight) return linger(patience, most);
  if (held_) sys::endWriting(fileno());
  if (sys::peek(fileno()) > 0) return linger(patience, most);
  close(false);
}

// The peer may have plenty to send: each piece counts against the budget.
void ScheduledFile::linger(sys::Duration patience, std::size_t most) {
  if (closed()) return;  // by another coroutine, while this one flushed
  const Call call(*this, flushes_);
  sys::endWriting(fileno());
  deadline = after(patience);
  const std::size_t before = nread;
  try {
    while (nread - before < most && sys::now() < deadline && fill())
      take(unlimited);
  } catch (const std::exception&) {
    // The time is over, the peer has reset the connection, or there is no
    // memory to wait for it.
  }
  if (call.linked()) close(false);
}
// [/lingering-close]

}  // namespace naglfar
