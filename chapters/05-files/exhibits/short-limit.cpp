// As in 2009: the search for a separator keeps the last byte back, for it
// might be the beginning of one. The caller has read enough, and leaves.

#include <cstdio>
#include <string>

static std::string incoming = "ten bytes. and ten more.";

// Calls `use` with what stands before the separator, in chunks, for as long
// as it returns true.
template <class Use>
static void readUntil(char separator, Use use) {
  std::string chunk = incoming.substr(0, 10);  // as if 10 bytes had come
  incoming.erase(0, 10);
  while (!chunk.empty()) {
    if (chunk.find(separator) != std::string::npos) break;
    const char keptBack = chunk.back();
    chunk.pop_back();
#ifdef CURED
    incoming.insert(0, 1, keptBack);  // it is not ours before it is used
    if (!use(chunk)) return;
    chunk = incoming.substr(0, 10);
    incoming.erase(0, 10);
#else
    if (!use(chunk)) return;
    chunk = keptBack + incoming.substr(0, 10);
    incoming.erase(0, 10);
#endif
  }
}

int main() {
  std::string line;
  readUntil('\n', [&](const std::string& chunk) {
    line += chunk;
    return line.size() < 9;  // a limit
  });
  const bool whole = line + incoming == "ten bytes. and ten more.";
  std::printf("readline(9): \"%s\"\nthe rest: \"%s\"\n", line.c_str(),
              incoming.c_str());
  return whole ? 0 : 1;
}
