// Whole connections to an HTTP server, with clients that send any bytes in
// any pieces, and that pause, end, vanish or reset when the bytes say so.
//
// What must hold: the server never crashes; each client is answered or its
// connection is closed; nobody waits for a deadline without a reason; an
// answer is well-formed HTTP; where the bytes are split, and what the kernel
// does that costs nothing but time, does not change what is answered; at the
// end nobody is parked, and every descriptor is closed.
//
// The first byte chooses the faults and the limit of connections, the second
// one the kernel's dice. In the rest, after a 0xff: `p` is a pause, `n` ends
// this client's output, and the next one's begins; `k`, `c` and `r` do so,
// too, but keep, close or reset the connection instead.

#include <algorithm>
#include <charconv>
#include <optional>

#include "fuzz.hpp"
#include "naglfar/http.hpp"

using namespace fuzz;
using namespace std::chrono_literals;

// [fuzz-connection-server]
namespace {

// What all requests of a run were, in the order of letters.
std::vector<std::string>* served = nullptr;

class Handler : public BaseHTTPRequestHandler {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
    headerTimeout = timeout = keepAliveTimeout = lingerTimeout = 1h;
    maxHead = 300;
    maxHeaders = 8;
    rfile.limit = 1000;
  }
  void do_GET() override {
    if (path == "/throw") throw std::runtime_error("thrown on purpose");
    if (path == "/refuse") throw HTTPError(410);
    if (path == "/chunks") return chunks();
    reply(std::string(path));
  }
  void do_HEAD() override { do_GET(); }
  void do_POST() override {
    if (path == "/half") return reply(rfile.read(2));
    if (path == "/ignore") return reply("");
    if (path == "/line") return reply(rfile.readline());
    reply(rfile.read());
  }
  void log_message(std::string_view) override {}
  // A client cannot see otherwise that an answer has no body.
  std::string version_string() const override {
    return command == "HEAD" ? "no body" : "Fuzzed";
  }

 private:
  void note(const std::string& body) {
    served->push_back(requestline + "|" + std::to_string(headers.size()) +
                      "|" + body);
  }
  void reply(std::string body) {
    note(body);
    if (request_version == "HTTP/0.9") body = "0.9 " + body;
    send_response(200);
    send_header("Content-Length", std::to_string(body.size()));
    if (path == "/close") send_header("Connection", "close");
    end_headers();
    wfile.write(body);
  }
  void chunks() {
    note("");
    send_response(200);
    startChunks();
    if (request_version == "HTTP/0.9") wfile.write("0.9 ");
    for (const char* word : {"one", "", "\r\n0\r\n\r\n"}) sendChunk(word);
    endChunks();
  }
};

class Server : public ScheduledMixIn<HTTPServer> {
 public:
  using ScheduledMixIn::ScheduledMixIn;

 protected:
  // Nothing but what a client did, and what was thrown on purpose.
  void handle_error(const sys::Address&,
                    const std::exception& error) override {
    expect(dynamic_cast<const std::system_error*>(&error) != nullptr ||
               std::string_view(error.what()) == "thrown on purpose",
           error.what());
  }
};
// [/fuzz-connection-server]

// [fuzz-connection-answers]
// Takes a line of a head off; it has no control characters.
std::string_view headLine(std::string_view& rest) {
  const std::size_t end = rest.find("\r\n");
  expect(end != std::string_view::npos, "a head is whole");
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  expect(std::none_of(line.begin(), line.end(),
                      [](unsigned char c) { return c < ' ' || c == 0x7f; }),
         "no control characters in a head");
  return line;
}

void cut(std::string_view& rest, std::size_t n) {
  expect(rest.size() >= n, "a body is whole");
  rest.remove_prefix(n);
}

std::size_t length(std::string_view digits, int base) {
  std::size_t n = 0;
  const auto parsed = std::from_chars(digits.begin(), digits.end(), n, base);
  expect(parsed.ec == std::errc() && parsed.ptr == digits.end(), "a length");
  return n;
}

// Takes one answer off, and looks at all of it.
void checkAnswer(std::string_view& rest) {
  if (rest.starts_with("0.9 ") || rest.starts_with("<!DOCTYPE"))
    return cut(rest, rest.size());  // HTTP/0.9 has no head
  const std::string_view status = headLine(rest);
  expect(status.starts_with("HTTP/1.1 ") && status.size() > 13 &&
             status[12] == ' ',
         "a status line");
  const std::size_t code = length(status.substr(9, 3), 10);
  Headers headers;
  for (std::string_view line; !(line = headLine(rest)).empty();)
    expect(headers.add(line), "a header");
  if (code == 100) return;
  expect(code >= 200 && code < 600, "a final status");
  expect(headers.contains("Date"), "a date");
  const bool closes = sameName(headers.get("Connection"), "close");
  const bool hasLength = headers.contains("Content-Length");
  if (headers.get("Server") == "no body") {
  } else if (sameName(headers.get("Transfer-Encoding"), "chunked")) {
    expect(!hasLength, "one length");
    for (std::size_t n = 1; n > 0;) {
      n = length(headLine(rest), 16);
      cut(rest, n);
      expect(headLine(rest).empty(), "the end of a chunk");
    }
  } else if (hasLength) {
    cut(rest, length(headers.get("Content-Length"), 10));
  } else {
    expect(closes, "a body without a length ends by a close");
    cut(rest, rest.size());
  }
  expect(!closes || rest.empty(), "nothing comes after a close");
}

// The dates are those of the real clock.
std::string withoutDates(std::string answers) {
  for (std::size_t at = 0;
       (at = answers.find("\r\nDate: ", at)) != std::string::npos;)
    answers.erase(at, 37);
  return answers;
}

void checkAnswers(std::string_view answers) {
  while (!answers.empty()) checkAnswer(answers);
}
// [/fuzz-connection-answers]

// [fuzz-connection-clients]
struct Client {
  std::vector<std::string> pieces;  // after which an empty one is a pause
  char end = 'n';
};

std::vector<Client> clientsOf(std::string_view script) {
  std::vector<Client> clients(1);
  clients[0].pieces.emplace_back();
  for (std::size_t i = 0; i < script.size(); ++i) {
    if (script[i] != '\xff') {
      clients.back().pieces.back() += script[i];
      continue;
    }
    const char action = i + 1 < script.size() ? script[i + 1] : '\0';
    const bool ends =
        std::string_view("nkcr").find(action) != std::string::npos;
    i += ends || action == 'p' ? 1 : 0;
    if (ends) {
      clients.back().end = action;
      if (clients.size() == 8) break;
      clients.emplace_back();
    }
    if (action == 'p') clients.back().pieces.emplace_back();
    clients.back().pieces.emplace_back();
  }
  return clients;
}

// The same bytes in one piece.
std::vector<Client> unsplit(std::vector<Client> clients) {
  for (Client& client : clients) {
    std::string all;
    for (const std::string& piece : client.pieces) all += piece;
    client.pieces = {all};
  }
  return clients;
}

// False if the server has closed already.
bool send(sim::Kernel& kernel, ScheduledFile& file, const Client& client) {
  bool sent = true;
  try {
    for (const std::string& piece : client.pieces) {
      file.write(piece);
      file.flush();
      naglfar::sleep(piece.empty() ? sys::Duration(40min) : 1ms);
    }
    if (client.end == 'n') sys::endWriting(file.fileno());
  } catch (const std::system_error&) {
    sent = false;
  }
  if (client.end == 'r') kernel.resetAtClose(file.fileno());
  if (client.end == 'r' || client.end == 'c') file.close(false);
  return sent;
}

// What a client got, and whether that was cut off.
struct Answers {
  std::string text;
  bool reset = false;
};

// Sends and receives at the same time, so that no answer is in the way.
Answers converse(sim::Kernel& kernel, const sys::Address& address,
                 const Client& client) {
  Answers answers;
  try {
    ScheduledFile file = ScheduledFile::connectTcp(address);
    TaskGroup sending;
    sending.go([&] {
      if (!send(kernel, file, client)) answers.reset = true;
    });
    try {
      while (!file.peek().empty())
        answers.text += file.read(file.peek().size());
    } catch (const std::system_error&) {
      answers.reset = true;
    }
    sending.wait();
  } catch (const std::system_error&) {
    answers.reset = true;  // no connection could be had
  }
  return answers;
}
// [/fuzz-connection-clients]

// [fuzz-connection-run]
struct Outcome {
  std::vector<Answers> answers;  // of each client
  std::vector<std::string> served;
  sys::Duration took{};
};

struct World {
  std::uint64_t seed = 1;
  sim::Faults faults = {};
  std::size_t connections = 100;
};

Outcome run(const std::vector<Client>& clients, const World& world) {
  Outcome outcome;
  outcome.answers.resize(clients.size());
  served = &outcome.served;
  sim::Kernel kernel(world.seed);
  kernel.callLimit = 1'000'000;
  if (std::getenv("TRACE"))
    kernel.trace = [](const std::string& s) {
      std::fprintf(stderr, "%s\n", s.c_str());
    };
  {
    Scheduler scheduler;
    Server server(sys::Address("localhost", 0), handlerFor<Handler>);
    server.maxConnections = world.connections;
    kernel.setFaults(world.faults);
    const sys::Time start = sys::now();
    std::size_t left = clients.size();
    go([&] { server.serve_forever(); });
    for (std::size_t i = 0; i < clients.size(); ++i)
      go([&, i] {
        outcome.answers[i] =
            converse(kernel, server.server_address, clients[i]);
        if (--left > 0) return;
        outcome.took = sys::now() - start;
        server.shutdown();
      });
    scheduler.run();
    expectNoCoroutine(scheduler);
  }
  expect(kernel.openDescriptors() == 0, "every descriptor is closed");
  std::sort(outcome.served.begin(), outcome.served.end());
  return outcome;
}

}  // namespace
// [/fuzz-connection-run]

// [fuzz-connection-weather]
namespace {

enum Weather { fair, breezy, windy, stormy };

sim::Faults faultsOf(Weather weather) {
  if (weather == fair) return {};
  if (weather == stormy) return sim::Faults::all(0.05);
  sim::Faults faults = sim::Faults::harmless(weather == breezy ? 0.05 : 0.3);
  // What is delayed may be overtaken by a reset, and then is lost.
  if (weather == breezy) faults.delayed = 0;
  return faults;
}

void compare(const Answers& got, const Answers& unsplit, Weather weather) {
  const std::string a = withoutDates(got.text);
  const std::string b = withoutDates(unsplit.text);
  const bool mayBeCutOff = got.reset && weather == windy;
  if (a == b || (mayBeCutOff && b.starts_with(a))) return;
  std::fprintf(stderr, "in pieces:\n%s\n\nin one piece:\n%s\n\n", a.c_str(),
               b.c_str());
  expect(false, "the same answers");
}

}  // namespace
// [/fuzz-connection-weather]

// [fuzz-connection]
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 4096) return 0;
  const auto weather = static_cast<Weather>(data[0] % 4);
  World world;
  world.seed = data[1];
  world.faults = faultsOf(weather);
  if (data[0] / 4 % 2 == 1) world.connections = 1;

  const auto clients = clientsOf(text(data + 2, size - 2));
  bool paused = false;
  bool kept = false;
  bool left = false;
  for (const Client& client : clients) {
    paused = paused ||
             std::count(client.pieces.begin(), client.pieces.end(), "") > 0;
    kept = kept || client.end == 'k';
    left = left || client.end == 'c' || client.end == 'r';
  }
  const Outcome outcome = run(clients, world);
  if (weather == stormy || left) return 0;  // answers may be cut off
  for (const Answers& answers : outcome.answers)
    if (!answers.reset) checkAnswers(answers.text);
  if (paused) return 0;
  expect(kept || outcome.took < 1h, "nobody waits for a deadline");
  const Outcome other = run(unsplit(clients), {});
  for (std::size_t i = 0; i < clients.size(); ++i)
    compare(outcome.answers[i], other.answers[i], weather);
  expect(outcome.served == other.served, "the same requests");
  return 0;
}
// [/fuzz-connection]
