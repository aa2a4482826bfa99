#include "reconciler/queue/backoff.h"

#include <algorithm>

namespace safekit::queue {

Duration backoff(std::uint32_t failures, const BackoffLimits& limits, std::uint32_t jitter) {
  Duration delay = limits.first;
  for (std::uint32_t i = 1; i < failures && delay < limits.longest; ++i) delay *= 2;
  delay = std::min(delay, limits.longest);
  const std::int64_t quarter = delay.count() / 4;
  // In units of 2^-16 so that the product stays within 64 bits for every delay we use.
  return delay - Duration{(quarter >> 16) * static_cast<std::int64_t>(jitter >> 16)};
}

}  // namespace safekit::queue
