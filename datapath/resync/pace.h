#pragma once

#include <cstdint>

#include "schema/base/time.h"

namespace safekit::resync {

/// Spreads work over time, so that a disk keeps most of itself for others. What was not used does not add up. A value; pure.
class Pace {
 public:
  /// 0: no limit.
  explicit Pace(std::uint64_t bytes_per_second = 0) : bytes_per_second_(bytes_per_second) {}
  /// When work of so many bytes may begin. Asked once for each.
  [[nodiscard]] MonoTime begin_of(std::uint64_t bytes, MonoTime now);

 private:
  std::uint64_t bytes_per_second_{0};
  MonoTime free_{};
};

}  // namespace safekit::resync
