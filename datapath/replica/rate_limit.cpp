#include "datapath/replica/rate_limit.h"

#include <algorithm>

namespace safekit::replica {

namespace {
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kRateMax = 1ULL << 33;  ///< more than any disk or network gives; and nothing overflows
}  // namespace

void RateLimit::set(std::uint64_t bytes_per_second) {
  if (bytes_per_second > kRateMax) bytes_per_second = 0;
  if (rate_ == bytes_per_second) return;
  rate_ = bytes_per_second;
  free_ = {};
}

void RateLimit::spend(std::uint64_t bytes, MonoTime now) {
  if (rate_ == 0) return;
  const std::uint64_t whole = bytes / rate_;  // apart, so that nothing overflows
  const std::uint64_t rest = bytes % rate_;
  free_ = std::max(free_, now) + Duration{static_cast<std::int64_t>(whole * kSecond + rest * kSecond / rate_)};
}

Duration RateLimit::owed(MonoTime now) const { return std::max(free_ - now, Duration{0}); }

}  // namespace safekit::replica
