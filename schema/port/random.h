#pragma once

#include <span>

#include "schema/base/bytes.h"

namespace safekit {

/// Bytes nobody can predict. Thread: any. Cannot fail: a machine without randomness ends the process.
class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::uint8_t> out) = 0;
  [[nodiscard]] std::uint64_t u64() {
    std::uint64_t value = 0;
    fill({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    return value;
  }
};

}  // namespace safekit
