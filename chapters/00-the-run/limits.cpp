// Reading and raising RLIMIT_NOFILE: getrlimit(2).

#include "limits.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include <algorithm>

namespace comet {

// [ask]
DescriptorLimit descriptorLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
#ifdef __APPLE__
  int most = 0;
  std::size_t size = sizeof most;
  if (sysctlbyname("kern.maxfilesperproc", &most, &size, nullptr, 0) == 0)
    limit.rlim_max = std::min(limit.rlim_max, static_cast<rlim_t>(most));
#endif
  return {limit.rlim_cur, limit.rlim_max};
}

// Whoever starts programs leaves descriptors open at low numbers.
std::size_t openDescriptors() {
  std::size_t open = 0;
  for (int fd = 0; fd < 1024; ++fd)
    if (fcntl(fd, F_GETFD) != -1) ++open;
  return open;
}
// [/ask]

// [raise]

bool raiseDescriptorLimit(std::size_t wanted) {
  const DescriptorLimit now = descriptorLimit();
  if (now.soft >= wanted) return true;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = static_cast<rlim_t>(std::min(wanted, now.hard));
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 && now.hard >= wanted;
}
// [/raise]

}  // namespace comet
