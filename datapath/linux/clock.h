#pragma once

#include <cstdint>

#include "schema/port/clock.h"

namespace safekit::linux_os {

/// The clock that file systems stamp inodes with. A value.
struct FileMoment {
  std::int64_t now{0};      ///< CLOCK_REALTIME_COARSE, ns
  std::int64_t setting{0};  ///< CLOCK_REALTIME - CLOCK_BOOTTIME, ns: differs when somebody has set the clock in between
  friend bool operator==(const FileMoment&, const FileMoment&) = default;
};
[[nodiscard]] FileMoment file_moment();
/// The next one that is later than any stamp given before the call: waits for a tick, 10 ms at most.
[[nodiscard]] FileMoment next_file_moment();

/// CLOCK_BOOTTIME and CLOCK_REALTIME. A service without state. Thread: any.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonoTime mono_now() const override;
  [[nodiscard]] WallTime wall_now() const override;
};

}  // namespace safekit::linux_os
