#pragma once

#include "schema/port/clock.h"

namespace safekit::fake {

/// A clock that a test moves. Wall time runs along with monotonic time.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] MonoTime mono_now() const override { return now_; }
  [[nodiscard]] WallTime wall_now() const override { return WallTime{1'700'000'000'000'000'000 + now_.ns}; }
  void advance(Duration by) { now_ = now_ + by; }

 private:
  MonoTime now_{1'000'000'000};
};

}  // namespace safekit::fake
