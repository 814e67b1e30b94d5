// The report, for people and for machines.

#include "report.hpp"

#include <sys/utsname.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

namespace comet {

using naglfar::Call;
using naglfar::nameOf;

// [format]
namespace {

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 256> line;
  std::snprintf(line.data(), line.size(), pattern, values...);
  return line.data();
}

double perClient(const Usage& usage, std::uint64_t count) {
  return static_cast<double>(count) / static_cast<double>(usage.clients);
}

// What is counted beside the system calls.
struct Row {
  const char* key;
  const char* name;
  std::uint64_t count;
};

std::vector<Row> rows(const Usage& usage) {
  const naglfar::Ledger& ledger = usage.ledger;
  return {{"switches", "switches", ledger.switches},
          {"parks", "parks", ledger.parks},
          {"page_faults", "page faults", usage.pageFaults},
          {"allocations", "allocations", ledger.allocations},
          {"system_calls", "system calls", ledger.systemCalls()}};
}

}  // namespace
// [/format]

// [text]
std::string reportAsText(const Usage& usage) {
  std::string text;
  const double cpu = usage.user + usage.kernel;
  text += format("done %zu\n\n", usage.clients);
  text +=
      format("Time spent in user mode   (CPU seconds) : %.3fs\n", usage.user);
  text += format("Time spent in kernel mode (CPU seconds) : %.3fs\n",
                 usage.kernel);
  text += format("Total time                              : %d:%05.2fs\n",
                 static_cast<int>(usage.total / 60),
                 std::fmod(usage.total, 60.0));
  text += format("CPU utilisation (percentage)            : %.1f%%\n\n",
                 100 * cpu / usage.total);

  text += "The ledger, per client\n";
  for (const Row& row : rows(usage))
    text += format("  %-20s %8.2f\n", row.name, perClient(usage, row.count));
  for (std::size_t kind = 0; kind < naglfar::callKinds; ++kind) {
    const auto call = static_cast<Call>(kind);
    if (usage.ledger[call] == 0) continue;
    text += format("    %-18s %8.2f\n", nameOf(call),
                   perClient(usage, usage.ledger[call]));
  }
  text += format("Peak memory: %.1f MiB\n",
                 static_cast<double>(usage.peakKib) / 1024);
  return text;
}
// [/text]

// [json]
namespace {

// [machine]
std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name"))
      return line.substr(line.find(": ") + 2);
  return "unknown";
}

std::string machine() {
  utsname system{};
  uname(&system);
#ifdef __clang__
  const char* compiler = "clang " __clang_version__;
#else
  const char* compiler = "g++ " __VERSION__;
#endif
  return "{\"cpu\": \"" + processor() + "\", \"cores\": " +
         std::to_string(std::thread::hardware_concurrency()) +
         ", \"kernel\": \"" + system.sysname + " " + system.release +
         "\", \"compiler\": \"" + compiler + "\"}";
}
// [/machine]

}  // namespace

std::string reportAsJson(const Usage& usage) {
  std::string json = format("{\n  \"program\": \"%s\",\n", usage.program);
  json += format("  \"clients\": %zu,\n", usage.clients);
  json += format("  \"clients_in_child\": %s,\n",
                 usage.clientsInChild ? "true" : "false");
  json += format("  \"user_s\": %.3f,\n", usage.user);
  json += format("  \"kernel_s\": %.3f,\n", usage.kernel);
  json += format("  \"total_s\": %.3f,\n", usage.total);
  json += format("  \"peak_kib\": %llu,\n",
                 static_cast<unsigned long long>(usage.peakKib));
  json += "  \"poller\": \"" NAGLFAR_POLLER_NAME "\",\n";
  json += "  \"switch\": \"" NAGLFAR_SWITCH_NAME "\",\n";
  json += "  \"machine\": " + machine() + ",\n  \"per_client\": {";
  const char* separator = "\n";
  for (const Row& row : rows(usage)) {
    json += separator +
            format("    \"%s\": %.4f", row.key, perClient(usage, row.count));
    separator = ",\n";
  }
  json += "\n  },\n  \"calls\": {";
  separator = "\n";
  for (std::size_t kind = 0; kind < naglfar::callKinds; ++kind) {
    const auto call = static_cast<Call>(kind);
    if (usage.ledger[call] == 0) continue;
    json += separator +
            format("    \"%s\": %llu", nameOf(call),
                   static_cast<unsigned long long>(usage.ledger[call]));
    separator = ",\n";
  }
  return json + "\n  }\n}\n";
}
// [/json]

}  // namespace comet
