#include "controllers/role/sync_at.h"

#include <algorithm>

namespace safekit::role {

Dates look_at_dates(const Crontab& crontab, std::optional<WallTime> looked, WallTime now, const LocalTime& local) {
  constexpr std::int64_t kMinute = Duration{minutes{1}}.count();
  const std::int64_t last = now.ns / kMinute;
  const std::int64_t back = Duration{kDatesBack}.count() / kMinute;
  Dates dates{.looked = {last * kMinute}, .recheck_after = std::min<Duration>(kDatesLook, Duration{(last + 1) * kMinute - now.ns})};
  if (!looked) return dates;
  for (std::int64_t at = std::max(looked->ns / kMinute, last - back) + 1; at <= last && !dates.passed; ++at) {
    dates.passed = crontab.names(local(WallTime{at * kMinute}));
  }
  return dates;
}

bool follows_dates(const Desired& desired, const Memory& memory) {
  return !desired.sync_at.empty() && desired.replicates && memory.started && !status::is_serving(memory.section.role);
}

}  // namespace safekit::role
