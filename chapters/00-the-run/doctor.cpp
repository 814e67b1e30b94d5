// Prints the limits of this machine that a run with many clients meets, the
// largest run that they allow, and what to do about the one that binds.

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include "harness.hpp"
#include "limits.hpp"
#include "naglfar/coroutine/stack_pool.hpp"

// [ask-the-system]
namespace {

// The first line of a file of the Linux kernel, with spaces for its tabs.
std::string kernelSays(const char* file) {
  std::ifstream in(file);
  std::string line;
  if (!std::getline(in, line)) return "unknown";
  std::replace(line.begin(), line.end(), '\t', ' ');
  return line;
}

std::string kernel() {
  utsname system{};
  uname(&system);
  return std::string(system.sysname) + " " + system.release + " on " +
         system.machine;
}

std::string memory() {
  const auto pages = static_cast<unsigned long long>(sysconf(_SC_PHYS_PAGES));
  const auto page = static_cast<unsigned long long>(sysconf(_SC_PAGESIZE));
  return std::to_string(pages * page >> 20) + " MB in pages of " +
         std::to_string(page) + " bytes";
}

}  // namespace
// [/ask-the-system]

// [the-largest-run]
namespace {

std::size_t largest(bool bothEnds) {
  return comet::largestRun(comet::descriptorLimit().hard, bothEnds,
                           comet::openDescriptors());
}

void printAdvice() {
  const std::size_t both = largest(true);
  const std::size_t one = largest(false);
  if (both >= 10000) {
    std::cout << "One process can hold the 10000 clients of the book's run "
                 "and both of its ends.\n";
    return;
  }
  std::cout << "What binds is the hard limit of descriptors: 10000 clients "
               "need "
            << comet::descriptorsFor(10000, true, comet::openDescriptors())
            << " in one process.\n"
               "  - A smaller run:               comet-NN "
            << both << "\n";
  if (one >= 10000)
    std::cout << "  - The clients in a child:      comet-NN 10000 "
                 "--clients-in-child\n";
  std::cout << "  - A higher limit, as root:     ulimit -Hn 1048576; or for "
               "good, a line\n"
               "    `* hard nofile 1048576' in /etc/security/limits.conf and "
               "a new login\n";
}

}  // namespace
// [/the-largest-run]

// [print-everything]
namespace {

void print(const char* name, const std::string& value) {
  std::string label(name);
  label.resize(34, ' ');
  std::cout << label << value << '\n';
}

void printAll() {
  const comet::DescriptorLimit descriptors = comet::descriptorLimit();
  print("kernel", kernel());
  print("memory", memory());
  print("descriptors, soft limit", std::to_string(descriptors.soft));
  print("descriptors, hard limit", std::to_string(descriptors.hard));
  print("descriptors, open already",
        std::to_string(comet::openDescriptors()));
#ifdef __linux__
  print("listen backlog (somaxconn)",
        kernelSays("/proc/sys/net/core/somaxconn"));
  print("ephemeral ports, first and last",
        kernelSays("/proc/sys/net/ipv4/ip_local_port_range"));
  print("mappings (vm.max_map_count)",
        kernelSays("/proc/sys/vm/max_map_count"));
#endif
  print("guard pages by", naglfar::StackPool::guardMethod());
  print("largest N in one process", std::to_string(largest(true)));
  print("largest N, clients in a child", std::to_string(largest(false)));
  std::cout << '\n';
  printAdvice();
}

}  // namespace
// [/print-everything]

// [main]
int main(int argc, char** argv) {
  const std::string_view option = argc > 1 ? argv[1] : "";
  if (argc > 2 || (!option.empty() && !option.starts_with("--")))
    comet::usageError("doctor", "at most one option; see doctor --help");
  if (option.empty())
    printAll();
  else if (option == "--largest")
    std::cout << largest(true) << '\n';
  else if (option == "--largest-in-child")
    std::cout << largest(false) << '\n';
  else if (option == "--help")
    std::cout << "usage: doctor [--largest | --largest-in-child]\n\n"
                 "Prints the limits that a run with many clients meets.\n\n"
                 "  --largest           only the largest N of one process\n"
                 "  --largest-in-child  only the largest N with the clients "
                 "in a child\n"
                 "  --help              print this\n";
  else
    comet::usageError("doctor", "there is no option " + std::string(option) +
                                    "; see doctor --help");
}
// [/main]
