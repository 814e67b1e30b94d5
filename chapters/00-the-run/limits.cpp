// Reading and raising RLIMIT_NOFILE: getrlimit(2).

#include "limits.hpp"

#include <sys/resource.h>

#include <algorithm>

namespace comet {

// [raise]
DescriptorLimit descriptorLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return {limit.rlim_cur, limit.rlim_max};
}

bool raiseDescriptorLimit(std::size_t wanted) {
  const DescriptorLimit now = descriptorLimit();
  if (now.soft >= wanted) return true;
  rlimit limit{};
  limit.rlim_cur = static_cast<rlim_t>(std::min(wanted, now.hard));
  limit.rlim_max = static_cast<rlim_t>(now.hard);
  return setrlimit(RLIMIT_NOFILE, &limit) == 0 && now.hard >= wanted;
}
// [/raise]

}  // namespace comet
