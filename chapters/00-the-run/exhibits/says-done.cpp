// Twenty clients, and descriptors for fewer. Nobody looks at what the calls
// return, so the program goes on with -1 and says that it has done its work.

#include <sys/resource.h>

#include <cstdio>
#include <exception>
#include <string>

#include "naglfar/sys.hpp"

using namespace naglfar;

static int checked(int result, [[maybe_unused]] const char* call) {
#ifdef CURED
  return sys::check(result, call);
#else
  return result;
#endif
}

static void run(const sys::Address& address) {
  int done = 0;
  for (; done < 20; ++done) {
    const int fd = checked(sys::socket(sys::Mode::blocking), "socket");
    checked(sys::connect(fd, address), "connect");
    checked(static_cast<int>(sys::write(fd, "hello", 5)), "write");
  }
  std::printf("done %d\n", done);
}

int main() {
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::Address address("127.0.0.1", 0);
  sys::check(sys::bind(listener.get(), address), "bind");
  sys::check(sys::listen(listener.get(), 20), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");

  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit few{10, limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  try {
    run(address);
  } catch (const std::exception& error) {
    std::string said = error.what();
    std::puts(said.insert(said.rfind(": ") + 1, "\n ").c_str());
    return 0;
  }
  setrlimit(RLIMIT_NOFILE, &limit);
  int seen = 0;
  sys::Address client;
  while (sys::accept(listener.get(), client, sys::Mode::blocking) != -1)
    ++seen;
  std::printf("the server has seen %s\n", seen == 20 ? "20" : "fewer");
  return seen == 20 ? 0 : 1;
}
