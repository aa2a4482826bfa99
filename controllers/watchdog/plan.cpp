#include "controllers/watchdog/plan.h"

namespace safekit::watchdog {

Plan decide(const Observed& observed, MonoTime now) {
  using enum Plan::Act;
  if (observed.counts) {
    if (!observed.is_needed && observed.can_be_ended) return {.act = End};
    const Duration interval = observed.limit / kFeedings;
    const MonoTime due = observed.fed + interval;
    if (now >= due) return {.act = Feed, .recheck_after = interval};
    return {.recheck_after = due - now};
  }
  if (!observed.is_needed && !observed.left_counting) return {};
  if (observed.failed && now < *observed.failed + kBeginAgain) return {.recheck_after = *observed.failed + kBeginAgain - now};
  return {.act = Begin};
}

}  // namespace safekit::watchdog
