#include "controllers/boot/plan.h"

namespace safekit::boot {

bool wants_start(const Desired& desired, bool ran_before) {
  if (desired.command) return *desired.command;
  switch (desired.boot.policy) {
    case spec::BootPolicy::On: return true;
    case spec::BootPolicy::Off: return false;
    case spec::BootPolicy::Auto: return ran_before;
    case spec::BootPolicy::Ignore: return false;
  }
  return false;
}

Plan decide(const Desired& desired, const Observed& observed) {
  if (observed.handled == observed.boot_id) return {};
  // A module that was applied just now has seen no boot; who started it already wants no second start.
  if (!observed.handled || !observed.stopped || !wants_start(desired, observed.ran_before))
    return {.handled = true};
  if (observed.since_boot_seen < desired.boot.delay) {
    return {.recheck_after = desired.boot.delay - observed.since_boot_seen};
  }
  return {.start = true, .handled = true};
}

}  // namespace safekit::boot
