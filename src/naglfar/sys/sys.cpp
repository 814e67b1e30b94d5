// Errors, the owner of a descriptor, and addresses: the part of sys.hpp that
// makes no system call of its own.
//
// Invariant: this file is the same on the real and on the simulated kernel.
//
// It asks for `close`, of whichever kernel the program has.

#include "naglfar/sys.hpp"

#include <arpa/inet.h>
#include <sys/resource.h>

#include <stdexcept>
#include <system_error>

namespace naglfar::sys {

// [fail]
// If the error is a limit of the machine: what the user can do about it.
static std::string advice(int error) {
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  switch (error) {
    case EMFILE:
      return " (this process may have " +
             std::to_string(descriptors.rlim_cur) +
             " descriptors open; `ulimit -n NUMBER` raises that)";
    case ENFILE:
      return " (the whole system is out of descriptors; "
             "`sysctl -w fs.file-max=NUMBER` raises that)";
    case EADDRNOTAVAIL:
      return " (no free port, or an address that this machine does not "
             "have; `sysctl net.ipv4.ip_local_port_range` tells the ports)";
    case ENOMEM:
      return " (out of memory or of mappings; "
             "`sysctl -w vm.max_map_count=NUMBER` raises the latter)";
    default:
      return "";
  }
}

void fail(int error, const char* call) {
  throw std::system_error(error, std::generic_category(),
                          call + advice(error));
}
// [/fail]

// [fd-and-address]
Fd::~Fd() {
  if (fd_ == -1) return;
  if (beforeClose != nullptr) beforeClose(fd_);
  close(fd_);
}

Pipe::Pipe() {
  int ends[2];
  check(pipe(ends, Mode::nonblocking), "pipe");
  reader = Fd(ends[0]);
  writer = Fd(ends[1]);
}

Address::Address(std::string_view host, std::uint16_t port) {
  raw.sin_family = AF_INET;
  raw.sin_port = htons(port);
  if (host == "localhost") host = "127.0.0.1";
  if (host.empty()) host = "0.0.0.0";
  const std::string terminated(host);
  if (terminated.find('\0') != std::string::npos ||
      inet_pton(AF_INET, terminated.c_str(), &raw.sin_addr) != 1)
    throw std::invalid_argument("not a numeric IPv4 address: " + terminated);
}

std::string Address::host() const {
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &raw.sin_addr, text, sizeof text);
  return text;
}
// [/fd-and-address]

}  // namespace naglfar::sys
