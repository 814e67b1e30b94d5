/// @file sim.hpp
/// Control of the simulated kernel: a second implementation of %sys.hpp, in
/// memory. A program that links naglfar::sys_sim and makes a sim::Kernel runs
/// on it; the layers above are the same object code.
///
/// Everything that it decides comes from one seed, so that a run which fails
/// can be repeated. Its clock is virtual: it moves with each call, and jumps
/// when everybody waits.
///
/// Invariants:
/// - The same seed, faults and calls give the same answers.
/// - A fault is one that a kernel may show: after an EAGAIN in vain a new
///   edge follows, and bytes that were taken arrive in order or an error
///   does.

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
/// Random numbers that are the same everywhere, which those of the standard
/// library's distributions are not (splitmix64).
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
  /// @return True so often. What never happens takes no number.
  bool chance(double probability) {
    return probability > 0 &&
           static_cast<double>(next() >> 11) * 0x1p-53 < probability;
  }

 private:
  std::uint64_t state_;
};
// [/random]

// [faults]
/// How probable each fault is, from 0 to 1, at each call that could show it.
struct Faults {
  double interrupted = 0;      ///< EINTR.
  double againInVain = 0;      ///< EAGAIN though the call could succeed.
  double readyInVain = 0;      ///< Readiness though no call could succeed.
  double reordered = 0;        ///< Readiness is told in any order.
  double shortTransfer = 0;    ///< One byte is read or written.
  double delayed = 0;          ///< It arrives, but up to 50 ms later.
  double connectRefused = 0;   ///< ECONNREFUSED.
  double connectTimedOut = 0;  ///< ETIMEDOUT, after two minutes.
  double acceptAborted = 0;    ///< ECONNABORTED.
  double noDescriptors = 0;    ///< EMFILE or ENFILE.
  double noBuffers = 0;        ///< ENOBUFS, from socket and accept.
  double reset = 0;            ///< The connection breaks.

  /// @param probability From 0 to 1.
  /// @return All faults that cost a correct program time and nothing else.
  static Faults harmless(double probability);
  /// @param probability From 0 to 1.
  /// @return All faults; those that break something are a tenth as probable.
  static Faults all(double probability);
};
// [/faults]

// [stuck]
/// The program waits for ever, and nothing is under way that could end it: a
/// wake-up was lost.
class Stuck : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// [/stuck]

// [kernel]
/// The simulated kernel of this process: all calls of %sys.hpp about
/// descriptors and time go to the one that lives. Descriptors 0 to 2 stay the
/// process's own.
class Kernel {
 public:
  /// @param seed Where all its decisions come from.
  /// @param faults What it does wrong.
  explicit Kernel(std::uint64_t seed, const Faults& faults = {});
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// @return The one that lives.
  /// @throws std::logic_error If there is none.
  static Kernel& current();

  /// @return How many descriptors are open.
  std::size_t openDescriptors() const;
  /// @return How many faults it has shown.
  std::uint64_t faultsShown() const;
  /// @param fd A number.
  /// @return Whether it is an open descriptor.
  bool isOpen(int fd) const;
  /// Changes what it does wrong from now on.
  /// @param faults What.
  void setFaults(const Faults& faults);

  /// Makes a regular file, for sendfile.
  /// @param content What is in it.
  /// @return Its descriptor.
  int makeFile(std::string content);
  /// shutdown(2) with SHUT_WR, by a client: no call of the library's.
  /// @param fd A socket.
  /// @return 0, or -1 and errno.
  int shutdownWrite(int fd);
  /// Makes the close of a TCP socket a reset (SO_LINGER with 0 s).
  /// @param fd The socket.
  void resetAtClose(int fd);
  /// @return Whether a look by epoll could find something now.
  bool hasNews() const;
  /// Lets time pass, and happen what is due.
  /// @param until Until when.
  void wait(sys::Time until);

  /// How many descriptors may be open; more is EMFILE.
  std::size_t descriptorLimit = 1u << 30;
  /// How many calls may be made; a wait after that is Stuck, for a program
  /// that goes round in circles.
  std::uint64_t callLimit = ~std::uint64_t{0};
  /// Its own dice; whoever draws from them changes what it does next.
  Random random;
  /// Asked which of so many news epoll shall tell next, if set: 0 is the
  /// oldest.
  std::function<std::size_t(std::size_t)> choose;
  /// Called with a line for each call and event, if set.
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
