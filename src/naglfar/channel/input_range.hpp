/// @file channel/input_range.hpp
/// What a range-based `for` needs of a function that gives one value after
/// the other.
///
/// Invariants:
/// - The function is called once for each value: for the first value when the
///   iterator is made, for each other value when the loop asks for it.
/// - The function puts the value where it stays, so no later move can fail,
///   which would lose it.
///
/// Asks of no other layer.

#pragma once

#include <iterator>
#include <optional>
#include <utility>

namespace naglfar {

/// @addtogroup channel
/// @{

// [input-iterator]
/// An input iterator over what a function gives. It is also the range of what
/// is left, as std::filesystem::directory_iterator is.
/// @tparam Value What it gives.
/// @tparam Next Puts a Value into an empty std::optional, or nothing at the
///         end.
template <class Value, class Next>
class InputIterator {
 public:
  /// @param next The function. It is called at once, for the first value.
  explicit InputIterator(Next next) : next_(std::move(next)) {
    next_(value_);
  }
  /// @return The value.
  auto& operator*() { return *value_; }
  /// Goes on to the next value.
  /// @return This iterator.
  InputIterator& operator++() {
    value_.reset();
    next_(value_);
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
  std::optional<Value> value_;
};

/// @tparam Value What the iterator gives.
/// @param next The function: see InputIterator.
/// @return The iterator, at the first value.
template <class Value, class Next>
auto inputIterator(Next next) {
  return InputIterator<Value, Next>(std::move(next));
}
// [/input-iterator]

/// @}

}  // namespace naglfar
