// Edges, the bytes of streams, and pipes of the simulated kernel.
//
// Invariants:
// - A watch stands in the news of its epoll at most once.
// - epoll_wait tells only events that are still true. It drops news of a file
//   that was ready and is not ready any more.
//
// It asks sim/files.hpp for the dice, the faults and the trace.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "naglfar/sim/files.hpp"

namespace naglfar::sim {

// [sim-edges]
void Epoll::closed() {
  for (const FilePointer& file : state().files)
    if (file != nullptr)
      std::erase_if(file->watches, [this](const auto& watch) {
        return watch->epoll == this;
      });
}

void raise(File& file, std::uint32_t what) {
  for (const auto& watch : file.watches)
    if (watch->event.events & what) {
      note("edge at ", watch->fd, ":", Mask{what});
      watch->epoll->queue(watch);
    }
}

int Epoll::collect(epoll_event* events, int most) {
  if (news.size() > 1 && fault(state().faults.reordered, "reordered"))
    for (std::size_t i = news.size() - 1; i > 0; --i)
      std::swap(news[i], news[living->random.below(i + 1)]);
  if (living->choose)
    for (std::size_t i = 0; i + 1 < news.size(); ++i)
      std::swap(news[i], news[i + living->choose(news.size() - i)]);
  int n = 0;
  for (std::size_t left = news.size(); left > 0 && n < most; --left) {
    const std::shared_ptr<Watch> watch = std::move(news.front());
    news.pop_front();
    watch->queued = false;
    if (watch->file == nullptr) continue;
    const std::uint32_t mask = watch->file->ready() & watch->event.events;
    if (mask == 0) continue;
    events[n].events = mask;
    events[n++].data = watch->event.data;
    note("event at ", watch->fd, ":", Mask{mask});
    if ((watch->event.events & EPOLLET) == 0) queue(watch);
  }
  return n;
}
// [/sim-edges]

// [sim-take]
ssize_t take(Stream& s, char* buffer, std::size_t n, bool peek) {
  n = std::min(n, s.readable());
  std::memcpy(buffer, s.bytes.data() + s.taken, n);
  if (peek) return static_cast<ssize_t>(n);
  const bool hadRoom = s.writable();
  s.taken += n;
  if (s.taken == s.bytes.size()) {
    s.bytes = std::string();  // a million idle streams keep no buffers
    s.taken = s.arrived = 0;
  } else if (2 * s.taken > s.bytes.size()) {
    s.bytes.erase(0, s.taken);
    s.arrived -= std::exchange(s.taken, 0);
  }
  if (!hadRoom && s.writable() && s.writer != nullptr)
    raise(*s.writer, EPOLLOUT);
  return static_cast<ssize_t>(n);
}
// [/sim-take]

// [sim-pipe]
std::uint32_t Pipe::ready() const {
  const Stream& s = *stream;
  if (writes)
    return (s.writable() ? EPOLLOUT : 0u) |
           (s.reader == nullptr ? EPOLLERR : 0u);
  return (s.readable() > 0 ? EPOLLIN : 0u) |
         (s.writer == nullptr ? EPOLLHUP : 0u);
}

ssize_t Pipe::read(char* buffer, std::size_t n, bool peek) {
  if (peek) return -ENOTSOCK;
  if (writes) return -EBADF;
  if (n == 0 || stream->readable() > 0)
    return take(*stream, buffer, n, false);
  return stream->writer == nullptr ? 0 : -EAGAIN;
}

ssize_t Pipe::write(const char* data, std::size_t n) {
  Stream& s = *stream;
  if (!writes) return -EBADF;
  if (s.reader == nullptr) return -EPIPE;
  if (s.room() < std::min(n, atomic)) return n == 0 ? 0 : -EAGAIN;
  n = std::min(n, s.room());
  s.bytes.append(data, n);
  s.arrived = s.bytes.size();
  raise(*s.reader, EPOLLIN);
  return static_cast<ssize_t>(n);
}

void Pipe::closed() {
  (writes ? stream->writer : stream->reader) = nullptr;
  File* other = writes ? stream->reader : stream->writer;
  if (other != nullptr) raise(*other, anyNews);
}
// [/sim-pipe]

}  // namespace naglfar::sim
