// The sockets of the simulated kernel: TCP on loopback, and socketpairs.
//
// Invariant: a TCP socket learns what its peer does only by what the stream
// delivers. Bytes and the end arrive in order; a reset arrives before all
// that is still under way. The ends of a socketpair tell each other at once
// that they close.
//
// It asks sim/files.hpp for streams, edges, the agenda and the faults.

#include <algorithm>
#include <cerrno>

#include "naglfar/sim/files.hpp"

namespace naglfar::sim {

// [sim-socket-ready]
// The same answers as tcp_poll() and unix_poll() in Linux.
std::uint32_t Socket::ready() const {
  if (phase == Phase::fresh) return EPOLLOUT | EPOLLHUP;
  if (phase == Phase::connecting) return 0;
  if (phase == Phase::listening) return pending->empty() ? 0u : EPOLLIN;
  std::uint32_t mask = error != 0 ? EPOLLERR : 0u;
  const bool dead = phase == Phase::dead;
  const bool ended = dead || in->endArrived;
  if (ended || in->readable() > 0) mask |= EPOLLIN;
  if (ended) mask |= EPOLLRDHUP;
  if (dead || (ended && out->ended)) mask |= EPOLLHUP;
  if (dead || out->ended || out->writable()) mask |= EPOLLOUT;
  return mask;
}
// [/sim-socket-ready]

// [sim-deliver]
namespace {

// Sends something from a socket to its peer: `arrive` happens mostly at once.
// With `inOrder` it happens after all that is under way, otherwise before.
template <class Arrive>
void send(const Socket& from, Arrive arrive, bool inOrder = true) {
  State& s = state();
  const std::shared_ptr<Stream>& stream = from.out;
  Time at = inOrder ? std::max(s.clock, stream->lastArrival) : s.clock;
  if (from.tcp && fault(s.faults.delayed, "delayed"))
    at = std::max(at, s.clock + someTime());
  stream->lastArrival = std::max(stream->lastArrival, at);
  const auto unlessCut = [stream, arrive] {
    if (!stream->cut) arrive(*stream);
  };
  if (at <= s.clock) return unlessCut();
  later(at - s.clock, unlessCut);
}

// A socket that is closed answers bytes with a reset: RFC 9293,
// section 3.5.2.
void bytesArrive(Stream& s, std::size_t n) {
  s.arrived += n;
  if (s.reader != nullptr) return raise(*s.reader, EPOLLIN);
  if (s.writer != nullptr) static_cast<Socket*>(s.writer)->broken();
}

void endArrives(Stream& s) {
  s.endArrived = true;
  if (s.reader != nullptr) raise(*s.reader, anyNews);
}

void resetArrives(Stream& s) {
  if (s.reader != nullptr) static_cast<Socket*>(s.reader)->broken();
}

}  // namespace
// [/sim-deliver]

// [sim-socket-io]
ssize_t Socket::read(char* buffer, std::size_t n, bool peek) {
  if (n == 0) return 0;
  if (phase == Phase::fresh || phase == Phase::listening) return -ENOTCONN;
  if (phase == Phase::connecting) return -EAGAIN;
  if (in->readable() > 0) return take(*in, buffer, n, peek);
  if (tcp && in->endArrived) return 0;
  if (error != 0) return takeError();
  return phase == Phase::dead || in->endArrived ? 0 : -EAGAIN;
}

ssize_t Socket::write(const char* data, std::size_t n) {
  if (phase == Phase::connecting) return -EAGAIN;
  if (phase == Phase::fresh || phase == Phase::listening) return -EPIPE;
  if (phase == Phase::dead || out->ended)
    return tcp && error != 0 ? takeError() : -EPIPE;
  if (n == 0) return 0;
  n = std::min(n, out->room());
  if (n == 0) return -EAGAIN;
  out->bytes.append(data, n);
  send(*this, [n](Stream& stream) { bytesArrive(stream, n); });
  return static_cast<ssize_t>(n);
}

// Ends the output: a FIN.
void Socket::end() {
  if (std::exchange(out->ended, true)) return;
  send(*this, endArrives);
}

// A reset has arrived. The bytes that arrived before can still be read.
void Socket::broken() {
  if (phase == Phase::dead) return;
  if (in->endArrived && out->endArrived) return;  // both sides had ended
  error = in->endArrived ? EPIPE : ECONNRESET;
  phase = Phase::dead;
  in->cut = out->cut = true;
  raise(*this, anyNews);
}
// [/sim-socket-io]

// [sim-socket-close]
void Socket::closed() {
  State& s = state();
  const auto port = s.ports.find(local.port());
  if (port != s.ports.end() && port->second == this) s.ports.erase(port);
  if (phase == Phase::listening)
    for (const auto& socket : *pending) {
      socket->resetAtClose = true;
      socket->closed();
    }
  if (in == nullptr) return;
  in->reader = nullptr;
  out->writer = nullptr;
  if (phase != Phase::connected) return;
  const bool unread = in->readable() > 0;
  if (tcp) {
    // A socket that closes with unread bytes resets the connection, so that
    // the peer learns that bytes were lost.
    if (unread || resetAtClose)
      send(*this, resetArrives, false);
    else
      end();
  } else if (Socket* other = peer()) {
    other->phase = Phase::dead;
    other->error = unread ? ECONNRESET : 0;
    other->out->bytes.clear();
    other->out->taken = other->out->arrived = 0;
    raise(*other, anyNews);
  }
}
// [/sim-socket-close]

// [sim-connect]
void Socket::refused(int why) {
  phase = Phase::dead;
  error = why;
  in = out = std::make_shared<Stream>(0, 0);
  raise(*this, anyNews);
}

void Socket::established(Socket& listener) {
  constexpr std::size_t size = 64 << 10;
  const auto server = std::make_shared<Socket>();
  in = std::make_shared<Stream>(size, size / 3);
  out = std::make_shared<Stream>(size, size / 3);
  in->reader = out->writer = this;
  out->reader = in->writer = server.get();
  server->in = out;
  server->out = in;
  server->local = listener.local;
  phase = server->phase = Phase::connected;
  listener.pending->push_back(server);
  raise(listener, EPOLLIN);
  raise(*this, anyNews);
}

// The handshake. If the backlog is full, the listener does not answer, and
// the client tries again after 1, 2, 4, ... seconds.
void knock(const std::weak_ptr<File>& client, std::uint16_t port, int tries) {
  const FilePointer file = client.lock();
  if (file == nullptr || file->descriptors == 0) return;
  auto& socket = static_cast<Socket&>(*file);
  const auto found = state().ports.find(port);
  if (found == state().ports.end() ||
      found->second->phase != Socket::Phase::listening)
    return socket.refused(ECONNREFUSED);
  Socket& listener = *found->second;
  if (listener.pending->size() <= listener.backlog)
    return socket.established(listener);
  if (tries == 6) return socket.refused(ETIMEDOUT);
  later(std::chrono::seconds(1 << tries),
        [=] { knock(client, port, tries + 1); });
}

int Socket::connect(const sys::Address& address) {
  const Faults& faults = state().faults;
  switch (phase) {
    case Phase::listening:
      return -EISCONN;
    case Phase::connected:
      return std::exchange(connectTold, true) ? -EISCONN : 0;
    case Phase::dead:
      return error != 0 ? takeError() : -ECONNABORTED;
    case Phase::connecting:
      return nonblocking ? -EALREADY : -EAGAIN;
    case Phase::fresh:
      break;
  }
  phase = Phase::connecting;
  state().lastPort = static_cast<std::uint16_t>(
      state().lastPort >= 60999 ? 32768 : state().lastPort + 1);
  if (local.port() == 0) local = sys::Address("localhost", state().lastPort);
  const std::weak_ptr<File> self = weak_from_this();
  if (fault(faults.connectTimedOut, "the connection times out"))
    later(std::chrono::seconds(127), [self] {
      if (const FilePointer file = self.lock())
        static_cast<Socket&>(*file).refused(ETIMEDOUT);
    });
  else if (fault(faults.connectRefused, "the connection is refused"))
    refused(ECONNREFUSED);
  else if (fault(faults.delayed, "delayed"))
    later(someTime(), [=] { knock(self, address.port(), 0); });
  else
    knock(self, address.port(), 0);
  return nonblocking ? -EINPROGRESS : connect(address);
}
// [/sim-connect]

}  // namespace naglfar::sim
