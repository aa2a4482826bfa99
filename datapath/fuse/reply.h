#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <span>

#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::fuse {

/// What goes back for one request: a fixed part, then bytes in the scratch space of the thread. A service,
/// reused by its thread from request to request.
class Reply {
 public:
  explicit Reply(std::span<std::uint8_t> scratch) : scratch_(scratch) {}

  void clear() {
    fixed_size_ = 0;
    data_ = {};
    invalidated_.reset();
  }
  template <class T>
  void add(const T& part) {
    SK_ASSERT(fixed_size_ + sizeof part <= fixed_.size());
    std::memcpy(fixed_.data() + fixed_size_, &part, sizeof part);
    fixed_size_ += sizeof part;
  }
  /// Room for a reply of `size` bytes; `use` says how many it became.
  [[nodiscard]] std::span<std::uint8_t> scratch(std::size_t size) {
    return scratch_.first(std::min(size, scratch_.size()));
  }
  void use(std::size_t size) { data_ = scratch_.first(size); }
  /// The kernel must forget the attributes of this node: they changed by a call that it expects to change
  /// none.
  void invalidate_attributes(std::uint64_t node) { invalidated_ = node; }

  [[nodiscard]] BytesView fixed() const { return BytesView{fixed_}.first(fixed_size_); }
  [[nodiscard]] BytesView data() const { return data_; }
  [[nodiscard]] std::optional<std::uint64_t> invalidated() const { return invalidated_; }

 private:
  std::array<std::uint8_t, 256> fixed_{};
  std::size_t fixed_size_{0};
  std::span<std::uint8_t> scratch_;
  BytesView data_{};
  std::optional<std::uint64_t> invalidated_{};
};

}  // namespace safekit::fuse
