// comet-server: the post's handler, to be tried with a browser or curl.

#include "comet_handler.hpp"
#include "naglfar/server/waiters.hpp"
#include "serve.hpp"

// [comet-server-main]
int main(int argc, char** argv) {
  using namespace naglfar;
  using Server = ScheduledMixIn<comet::CometServer<Waiters>>;
  return comet::serve<Server>(
      "comet-server",
      "A comet server: /wait waits, /notify tells all who wait how many they "
      "are,\nand any other path tells how many wait.\n",
      argc, argv, handlerFor<comet::CometHandler<Waiters>>);
}
// [/comet-server-main]
