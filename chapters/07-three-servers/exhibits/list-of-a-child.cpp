// The list of waiting requests is a vector in the server. Under a server that
// forks, each request has a copy of its own.

#include <cstdio>
#include <string>
#include <vector>

#include "naglfar/mixins/forking_mix_in.hpp"

using namespace naglfar;

static std::vector<int> waiters;

// "wait" adds the request to the list. The answer is how long the list is.
static void serve(ScheduledFile& request, const sys::Address&, TCPServer&) {
  if (request.readline() == "wait\n") waiters.push_back(request.fileno());
  request.write(std::to_string(waiters.size()));
}

static std::string ask(TCPServer& server, const char* what) {
  ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
  client.write(what);
  client.flush();
  server.handle_request();
  return client.read();
}

template <class Server>
static bool twoAreTold(const char* name) {
  waiters.clear();
  Server server(sys::Address("localhost", 0), serve);
  const std::string first = ask(server, "wait\n");
  const std::string second = ask(server, "wait\n");
  const std::string told = ask(server, "notify\n");
  std::printf("%s: the list has %s, then %s; /notify tells %s\n", name,
              first.c_str(), second.c_str(), told.c_str());
  return told == "2";
}

int main() {
  const bool one = twoAreTold<TCPServer>("one process   ");
  const bool many = twoAreTold<ForkingMixIn<TCPServer>>("a child each  ");
  return one && many ? 0 : 1;
}
