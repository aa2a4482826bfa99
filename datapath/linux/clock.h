#pragma once

#include "schema/port/clock.h"

namespace safekit::linux_os {

/// CLOCK_BOOTTIME and CLOCK_REALTIME. A service without state. Thread: any.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] MonoTime mono_now() const override;
  [[nodiscard]] WallTime wall_now() const override;
};

}  // namespace safekit::linux_os
