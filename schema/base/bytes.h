#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/result.h"

namespace safekit {

using Bytes = std::vector<std::uint8_t>;
using BytesView = std::span<const std::uint8_t>;

[[nodiscard]] inline BytesView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
[[nodiscard]] inline std::string_view as_text(BytesView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Appends little-endian numbers and length-prefixed strings to a buffer that it owns. A value.
class ByteWriter {
 public:
  void u8(std::uint8_t value) { buffer_.push_back(value); }
  void u16(std::uint16_t value) { number(value); }
  void u32(std::uint32_t value) { number(value); }
  void u64(std::uint64_t value) { number(value); }
  void i64(std::int64_t value) { number(static_cast<std::uint64_t>(value)); }
  void raw(BytesView bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }
  /// u32 length, then the bytes.
  void blob(BytesView bytes) {
    u32(static_cast<std::uint32_t>(bytes.size()));
    raw(bytes);
  }
  void text(std::string_view value) { blob(as_bytes(value)); }
  [[nodiscard]] std::size_t size() const { return buffer_.size(); }
  [[nodiscard]] const Bytes& bytes() const { return buffer_; }
  [[nodiscard]] Bytes take() { return std::move(buffer_); }

 private:
  template <class T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) buffer_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  Bytes buffer_{};
};

/// Reads what ByteWriter wrote, from outside input: each length is checked. After the first short read `ok()` is false
/// and every further value is zero or empty, so a decoder checks once at its end. Looks at the bytes, does not own them.
class ByteReader {
 public:
  explicit ByteReader(BytesView bytes) : rest_(bytes) {}
  [[nodiscard]] std::uint8_t u8() { return number<std::uint8_t>(); }
  [[nodiscard]] std::uint16_t u16() { return number<std::uint16_t>(); }
  [[nodiscard]] std::uint32_t u32() { return number<std::uint32_t>(); }
  [[nodiscard]] std::uint64_t u64() { return number<std::uint64_t>(); }
  [[nodiscard]] std::int64_t i64() { return static_cast<std::int64_t>(number<std::uint64_t>()); }
  [[nodiscard]] BytesView raw(std::size_t size) {
    if (size > rest_.size()) {
      fail();
      return {};
    }
    const BytesView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  [[nodiscard]] BytesView blob(std::size_t max = SIZE_MAX) {
    const std::uint32_t size = u32();
    if (size > max) {
      fail();
      return {};
    }
    return raw(size);
  }
  [[nodiscard]] std::string text(std::size_t max = 1 << 20) { return std::string{as_text(blob(max))}; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] BytesView rest() const { return rest_; }

 private:
  void fail() {
    ok_ = false;
    rest_ = {};
  }
  template <class T>
  T number() {
    if (rest_.size() < sizeof(T)) {
      fail();
      return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<std::uint64_t>(rest_[i]) << (8 * i);
    rest_ = rest_.subspan(sizeof(T));
    return static_cast<T>(value);
  }
  BytesView rest_{};
  bool ok_{true};
};

}  // namespace safekit
