/// @file sim.hpp
/// The simulated kernel: a second implementation of %sys.hpp, in memory. This
/// header controls it. A program that links naglfar::sys_sim and makes a
/// sim::Kernel runs on the simulated kernel; the layers above are the same
/// object code.
///
/// All decisions of the kernel come from a seed, so that a run which fails
/// can be repeated. The clock is virtual: each call moves it a little, and a
/// call that waits moves it to the next event.
///
/// Invariants:
/// - The same seed, faults and calls give the same answers.
/// - Each fault is a fault that a real kernel may show. After an EAGAIN in
///   vain there is a new edge. The bytes that a write took arrive in order,
///   or the reader gets an error.
///
/// The simulation asks the real kernel for nothing, except to write to the
/// descriptors 0 to 2, and for the log also to look at descriptor 2. Memory,
/// signals and fork stay the real ones.
///
/// Limits: MSG_MORE holds nothing back, so bytes and the end of file never
/// share a segment, and no close loses what was held. TCP_NODELAY and the
/// probes of SO_KEEPALIVE change nothing: no byte is late by Nagle's
/// algorithm, and no peer vanishes without a word.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "naglfar/sys.hpp"

namespace naglfar::sim {

/// @addtogroup sys
/// @{

// [random]
/// Random numbers that are the same on every system (splitmix64). The numbers
/// of the standard library's distributions are not.
class Random {
 public:
  /// @param seed Any number; different seeds, different numbers.
  explicit Random(std::uint64_t seed) : state_(seed) {}
  /// @return The next 64 bits.
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  /// @param below At least 1.
  /// @return A number from 0 to `below` - 1.
  std::uint64_t below(std::uint64_t below) { return next() % below; }
  /// @param probability From 0 to 1.
  /// @return True with this probability. Probability 0 draws no number.
  bool chance(double probability) {
    return probability > 0 &&
           static_cast<double>(next() >> 11) * 0x1p-53 < probability;
  }

 private:
  std::uint64_t state_;
};
// [/random]

// [faults]
/// The probability of each fault, from 0 to 1, at each call that can show it.
struct Faults {
  double interrupted = 0;      ///< EINTR.
  double againInVain = 0;      ///< EAGAIN though the call could succeed.
  double readyInVain = 0;      ///< Readiness though no call could succeed.
  double reordered = 0;        ///< epoll's events come in any order.
  double shortTransfer = 0;    ///< One byte is read or written.
  double delayed = 0;          ///< Bytes arrive up to 50 ms later.
  double connectRefused = 0;   ///< ECONNREFUSED.
  double connectTimedOut = 0;  ///< ETIMEDOUT, after two minutes.
  double acceptAborted = 0;    ///< ECONNABORTED.
  double noDescriptors = 0;    ///< EMFILE or ENFILE.
  double noBuffers = 0;        ///< ENOBUFS, from socket and accept.
  double reset = 0;            ///< The connection breaks.

  /// @param probability From 0 to 1.
  /// @return The faults that cost a correct program only time.
  static Faults harmless(double probability);
  /// @param probability From 0 to 1.
  /// @return All faults. The faults that break a connection or a call are a
  ///         tenth as probable.
  static Faults all(double probability);
};
// [/faults]

// [stuck]
/// The program waits without a deadline, and no event is under way that could
/// end the wait: a wake-up was lost.
class Stuck : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// [/stuck]

// [kernel]
/// The simulated kernel of this process. There is at most one at a time, and
/// it answers all calls of %sys.hpp on descriptors and time. Descriptors 0 to
/// 2 stay the process's own.
class Kernel {
 public:
  /// @param seed The source of all decisions.
  /// @param faults The faults that the kernel shows.
  explicit Kernel(std::uint64_t seed, const Faults& faults = {});
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// @return The kernel of this process.
  /// @throws std::logic_error If there is none.
  static Kernel& current();

  /// @return How many descriptors are open.
  std::size_t openDescriptors() const;
  /// @return How many faults the kernel has shown.
  std::uint64_t faultsShown() const;
  /// @param fd A number.
  /// @return Whether the number is an open descriptor.
  bool isOpen(int fd) const;
  /// Changes the faults that the kernel shows from now on.
  /// @param faults The new faults.
  void setFaults(const Faults& faults);

  /// Makes a regular file, for sendfile.
  /// @param content The content of the file.
  /// @return A descriptor of the file.
  int makeFile(std::string content);
  /// shutdown(2) with SHUT_WR, which is not counted and takes no time: for
  /// the clients of a test.
  /// @param fd A socket.
  /// @return 0, or -1 and errno.
  int shutdownWrite(int fd);
  /// Makes the close of a TCP socket a reset (SO_LINGER with 0 s).
  /// @param fd The socket.
  void resetAtClose(int fd);
  /// @return Whether an epoll_wait(2) could find an event now.
  bool hasNews() const;
  /// Lets time pass, and makes the events happen that are due.
  /// @param until The time to stop at.
  void wait(sys::Time until);

  /// How many descriptors may be open; beyond that a call fails with EMFILE.
  std::size_t descriptorLimit = 1u << 30;
  /// How many calls the program may make. A wait after that throws Stuck, so
  /// that a program which goes round in circles ends.
  std::uint64_t callLimit = ~std::uint64_t{0};
  /// The source of the kernel's decisions. To draw from it changes the
  /// decisions that follow.
  Random random;
  /// If set, chooses which of `n` events epoll tells next; 0 is the oldest.
  std::function<std::size_t(std::size_t)> choose;
  /// If set, takes a line for each call and event.
  std::function<void(const std::string&)> trace;

  /// @cond For the files of the simulation.
  struct State;
  State& state() { return *state_; }
  /// @endcond

 private:
  std::unique_ptr<State> state_;
};
// [/kernel]

/// @}

}  // namespace naglfar::sim
