// A channel with a limit, where channels have one.

#pragma once

#include <cstddef>

#include "claims.hpp"
#include "naglfar/channel.hpp"

namespace helpers {

template <class T>
struct Limited : naglfar::Channel<T> {
#if CLAIMS(limits)
  explicit Limited(std::size_t limit) : naglfar::Channel<T>(limit) {}
#else
  explicit Limited(std::size_t /*limit*/) {}
#endif
};

}  // namespace helpers
