// A page is asked for under its old name, and the answer says where it is
// now: the new address, with what the client has asked for in it.

#include <cstdio>
#include <stdexcept>
#include <string>

static std::string header(const std::string& name, const std::string& value) {
#ifdef CURED
  if (value.find_first_of("\r\n") != std::string::npos)
    throw std::invalid_argument("a line end in a header");
#endif
  return name + ": " + value + "\r\n";
}

int main() {
  const std::string asked = "cats\r\nSet-Cookie: session=mine";
  try {
    const std::string answer = "HTTP/1.0 301 Moved\r\n" +
                               header("Location", "/new/" + asked) + "\r\n";
    int lines = 0;
    for (const char c : answer) lines += c == '\n';
    std::printf("one header was sent, and %d have arrived:\n", lines - 2);
    for (const char c : answer)
      if (c != '\r') std::putchar(c);
    return 1;
  } catch (const std::invalid_argument& error) {
    std::printf("refused: %s\n", error.what());
  }
}
