// A long line in small pieces. After each piece the reader looks for the end
// of the line, and begins at the beginning.

#include <algorithm>
#include <cstdio>
#include <string>

int main() {
  constexpr std::size_t lineSize = 65536;
  constexpr std::size_t pieceSize = 16;
  const std::string line = std::string(lineSize - 1, 'x') + '\n';

  std::string buffer;
  std::size_t pieces = 0;
  std::size_t lookedAt = 0;
  for (std::size_t searched = 0;;) {
    buffer += line.substr(buffer.size(), pieceSize);
    ++pieces;
    const std::size_t found = buffer.find('\n', searched);
    lookedAt += std::min(found, buffer.size() - 1) + 1 - searched;
    if (found != std::string::npos) break;
#ifdef CURED
    searched = buffer.size();  // there is no newline in these
#endif
  }
  std::printf("%zu bytes came in %zu pieces, %zu were looked at\n",
              buffer.size(), pieces, lookedAt);
  return lookedAt > buffer.size() ? 1 : 0;
}
