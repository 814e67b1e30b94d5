// Errors, the owner of a descriptor, the pipe, and addresses: the part of
// sys.hpp that reaches descriptors only through functions of sys.hpp.
//
// Invariant: this file is the same on the real and on the simulated kernel.
//
// It asks for `close` and `pipe`, of whichever kernel the program has, and
// the C library for the limit of descriptors and for the form of addresses.

#include "naglfar/sys.hpp"

#include <arpa/inet.h>
#include <sys/resource.h>

#include <stdexcept>
#include <system_error>

namespace naglfar::sys {

// [fail]
// What the user can do about an error that is a limit of the machine; empty
// for any other error.
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
      return " (out of memory, of address space, or of mappings; "
             "`ulimit -v unlimited` raises the second, and "
             "`sysctl -w vm.max_map_count=NUMBER` the third)";
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
