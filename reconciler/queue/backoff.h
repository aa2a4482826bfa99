#pragma once

#include <cstdint>

#include "schema/base/time.h"

namespace safekit::queue {

struct BackoffLimits {
  Duration first{milliseconds{50}};
  Duration longest{seconds{30}};
};

/// Delay before the next try after `failures` in a row (1 or more): doubles from `first` up to `longest`, then a
/// quarter of it is taken off by `jitter` (0 .. UINT32_MAX), so that many do not try in step.
[[nodiscard]] Duration backoff(std::uint32_t failures, const BackoffLimits& limits, std::uint32_t jitter);

}  // namespace safekit::queue
