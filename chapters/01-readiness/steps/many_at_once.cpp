// A hundred descriptors are ready. How many calls find them all?
//! 5: 101 epoll_wait
//! 6: 2 epoll_wait

#include <cstdio>
#include <deque>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Reader final : Job {
  void run() override {}
  sys::Pipe pipe;
  Waiter waiter{*this};
};

int main() {
  Poller poller;
  JobQueue ready;
  std::deque<Reader> readers(100);
  for (Reader& reader : readers) {
    poller.watch(reader.pipe.reader.get(), Interest::read, reader.waiter);
    sys::check(sys::write(reader.pipe.writer.get(), "!", 1), "write");
  }
  int found = 0;
  do {
    found = 0;
    poller.poll(sys::Duration(0), ready);
    while (ready.pop() != nullptr) ++found;
  } while (found > 0);
  std::printf("%d epoll_wait\n", static_cast<int>(ledger[Call::epoll_wait]));
}
