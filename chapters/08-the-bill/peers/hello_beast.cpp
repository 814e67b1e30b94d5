// The hello server of Boost.Beast, with the coroutines of C++20 on Asio, in
// one thread: hello_beast PORT

#include <utility>  // first: older versions of Asio use it unasked

#include <boost/asio.hpp>
#include <boost/beast.hpp>

#include <string>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

static awaitable<void> serve(tcp::socket socket) {
  boost::beast::flat_buffer buffer;
  try {
    for (bool stays = true; stays;) {
      http::request<http::string_body> request;
      co_await http::async_read(socket, buffer, request, use_awaitable);
      http::response<http::string_body> response(http::status::ok,
                                                 request.version());
      response.set(http::field::content_type, "text/plain");
      response.keep_alive(stays = request.keep_alive());
      response.body() = "Hello, world\n";
      response.prepare_payload();
      co_await http::async_write(socket, response, use_awaitable);
    }
  } catch (const boost::system::system_error&) {
    // The client has gone.
  }
}

static awaitable<void> acceptAll(tcp::acceptor acceptor) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket)),
                   asio::detached);
  }
}

int main(int, char** argv) {
  asio::io_context context(1);
  const auto port = static_cast<unsigned short>(std::stoul(argv[1]));
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});
  asio::co_spawn(context, acceptAll(std::move(acceptor)), asio::detached);
  context.run();
}
