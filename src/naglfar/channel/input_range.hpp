/// @file channel/input_range.hpp
/// What a range-based `for` needs of a function that returns one value after
/// the other, and at the end an empty optional.
///
/// Invariant: the function is called once for each value: for the first value
/// when the iterator is made, for each other value when the loop asks for it.
///
/// Asks of no other layer.

#pragma once

#include <iterator>
#include <type_traits>
#include <utility>

namespace naglfar {

/// @addtogroup channel
/// @{

// [input-iterator]
/// An input iterator over what a function returns. It is also the range of
/// what is left, as std::filesystem::directory_iterator is.
/// @tparam Next Returns a std::optional, which is empty at the end.
template <class Next>
class InputIterator {
 public:
  /// @param next The function. It is called at once, for the first value.
  explicit InputIterator(Next next)
      : next_(std::move(next)), value_(next_()) {}
  /// @return The value.
  auto& operator*() { return *value_; }
  /// Goes on to the next value.
  /// @return This iterator.
  InputIterator& operator++() {
    value_.reset();  // a value need not be assignable
    if (auto next = next_()) value_.emplace(std::move(*next));
    return *this;
  }
  /// @return True at the end.
  bool operator==(std::default_sentinel_t) const { return !value_; }

  /// @return This iterator, which moves into the loop.
  InputIterator begin() { return std::move(*this); }
  /// @return The end.
  std::default_sentinel_t end() const { return {}; }

 private:
  Next next_;
  std::invoke_result_t<Next&> value_;
};
// [/input-iterator]

/// @}

}  // namespace naglfar
