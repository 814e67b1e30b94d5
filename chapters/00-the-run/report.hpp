// What a run has used, and its report: the post's four lines, then the ledger
// for each client.

#pragma once

#include <cstdint>
#include <string>

#include "naglfar/sys/ledger.hpp"

namespace comet {

// [usage]
struct Usage {
  const char* program;
  std::size_t clients;
  bool clientsInChild;
  double user;    // seconds of CPU time, this process and its children
  double kernel;  // seconds
  double total;   // seconds of the clock
  std::uint64_t pageFaults;
  std::uint64_t peakKib;  // this process's and its largest child's
  naglfar::Ledger ledger;
};

std::string reportAsText(const Usage& usage);
std::string reportAsJson(const Usage& usage);
// [/usage]

}  // namespace comet
