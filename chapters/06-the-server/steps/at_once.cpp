// Ten clients come at once, and the handler takes its time for each.
//! 5: 1 at a time
//! 6: 10 at a time

#include <algorithm>
#include <cstdio>

#include "naglfar/server.hpp"

namespace naglfar {
template <class Base>
class ScheduledMixIn;  // comes with step 6
}

using namespace naglfar;

static int served = 0;
static int most = 0;

static void serve(ScheduledFile&, const sys::Address&, TCPServer&) {
  most = std::max(most, ++served);
  sleep(std::chrono::milliseconds(100));
  --served;
}

template <class Base, template <class> class MixIn, class = void>
struct With {
  using Server = Base;
};
template <class Base, template <class> class MixIn>
struct With<Base, MixIn, std::void_t<decltype(sizeof(MixIn<Base>))>> {
  using Server = MixIn<Base>;
};

int main() {
  Scheduler scheduler;
  With<TCPServer, ScheduledMixIn>::Server server(sys::Address("127.0.0.1", 0),
                                                 serve);
  go([&] { server.serve_forever(); });
  int finished = 0;
  for (int i = 0; i < 10; ++i)
    go([&] {
      ScheduledFile::connectTcp(server.server_address).read();
      if (++finished == 10) server.shutdown();
    });
  scheduler.run();
  std::printf("%d at a time\n", most);
}
