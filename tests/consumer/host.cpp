// A program that knows the shared library and nothing of coroutines.

int answer();

int main() {
  return answer() == 42 ? 0 : 1;
}
