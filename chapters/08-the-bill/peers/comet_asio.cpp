// The run with Boost.Asio and the coroutines of C++20: one for each end of
// each connection, on one io_context in one thread.

#include <utility>  // first: older versions of Asio use it unasked

#include <boost/asio.hpp>

#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

// What a waiting request is told, and how: the timer never expires and is
// cancelled, which is Asio's way to wake a coroutine.
struct Waiter {
  asio::steady_timer timer;
  std::size_t number = 0;
};
static std::vector<Waiter*> waiters;

static awaitable<void> serve(tcp::socket socket) {
  std::string request;
  co_await asio::async_read_until(socket, asio::dynamic_buffer(request),
                                  "\r\n\r\n", use_awaitable);
  std::size_t n = waiters.size();
  if (request.starts_with("GET /wait ")) {
    Waiter me{asio::steady_timer(socket.get_executor(),
                                 asio::steady_timer::time_point::max())};
    waiters.push_back(&me);
    boost::system::error_code woken;
    co_await me.timer.async_wait(asio::redirect_error(use_awaitable, woken));
    n = me.number;
  } else if (request.starts_with("GET /notify ")) {
    for (Waiter* waiter : std::exchange(waiters, {})) {
      waiter->number = n;
      waiter->timer.cancel();
    }
  }
  const std::string response =
      "HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n" +
      std::to_string(n);
  co_await asio::async_write(socket, asio::buffer(response), use_awaitable);
}

// An exception in a coroutine ends the run.
static void failed(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

static awaitable<void> acceptAll(tcp::acceptor& acceptor) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket)), failed);
  }
}

static awaitable<std::size_t> ask(tcp::socket socket, std::string path) {
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(request), use_awaitable);
  std::string response;
  boost::system::error_code end;
  co_await asio::async_read(socket, asio::dynamic_buffer(response),
                            asio::redirect_error(use_awaitable, end));
  if (end != asio::error::eof) throw boost::system::system_error(end);
  if (!response.starts_with("HTTP/1.0 200 "))
    throw std::runtime_error(response);
  co_return std::stoul(response.substr(response.find("\r\n\r\n") + 4));
}

static awaitable<tcp::socket> connectTo(tcp::endpoint address) {
  tcp::socket socket(co_await asio::this_coro::executor);
  co_await socket.async_connect(address, use_awaitable);
  co_return socket;
}

static awaitable<std::size_t> askOnce(tcp::endpoint address,
                                      std::string path) {
  tcp::socket socket = co_await connectTo(address);
  const std::size_t n = co_await ask(std::move(socket), path);
  co_return n;
}

static awaitable<void> waitingClient(tcp::socket socket, std::size_t n,
                                     std::size_t& answered) {
  const std::size_t told = co_await ask(std::move(socket), "/wait");
  if (told != n) throw std::runtime_error("a client was told another number");
  ++answered;
}

static awaitable<void> run(asio::io_context& context, tcp::endpoint address,
                           std::size_t n) {
  std::size_t answered = 0;
  for (std::size_t i = 0; i < n; ++i) {
    tcp::socket socket = co_await connectTo(address);
    asio::co_spawn(context, waitingClient(std::move(socket), n, answered),
                   failed);
  }
  std::size_t count = 0;
  while (count != n) count = co_await askOnce(address, "/");
  const std::size_t notified = co_await askOnce(address, "/notify");
  if (notified != n) throw std::runtime_error("/notify told another number");
  while (count != 0 || answered < n) count = co_await askOnce(address, "/");
  std::cout << "done " << answered << std::endl;
  context.stop();
}

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? std::stoul(argv[1]) : 1000;
  asio::io_context context(1);
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  asio::co_spawn(context, acceptAll(acceptor), failed);
  asio::co_spawn(context, run(context, acceptor.local_endpoint(), n), failed);
  context.run();
}
