// Faults of a real kernel: some of the library's system calls fail as their
// manual pages say that they may, though there is no reason. A program that
// links faults.cpp with the linker's --wrap has them; the library's objects
// are those of everybody.
//
// Invariant: what a program sees is what a kernel could have done. See
// faults.cpp for each call.

#pragma once

#include <cstdint>

namespace faults {

// [faults-control]
// Which faults there are.
enum class Kinds {
  transparent,  // those that cost a correct program time, and nothing else
  full,         // and accept(2) that finds no room, which a server survives
  all,          // and those that break a connection, too, a tenth as often
};

// From now on, each fault that a call may show comes with this probability.
// Without faults if it is 0. The seed decides when, as far as the kernel
// and other threads let a run be repeated.
//
// A program with a main function of its own is told by the environment:
// NAGLFAR_FAULTS="<probability> <seed>", and then has those up to `full`.
void begin(double probability, std::uint64_t seed, Kinds kinds);

// How many this process has shown.
std::uint64_t shown();
// [/faults-control]

}  // namespace faults
