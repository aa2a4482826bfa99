#include <algorithm>

#include "controllers/replication/plan.h"

namespace safekit::replication {

ScheduleStep schedule(const ScheduleInput& input, WallTime wall_now, MonoTime now) {
  if (input.every == Duration{}) return {};
  ScheduleStep step;
  WallTime last = input.last.value_or(wall_now);
  // A clock that was set back must not put it off for longer than the setting says.
  if (!input.last || last.ns > wall_now.ns) step.last = last = wall_now;
  Duration left = input.every - Duration{wall_now.ns - last.ns};
  if (input.failed) left = std::max(left, std::min(input.every, kVerifyAgain) - (now - *input.failed));
  if (left > Duration{0}) {
    step.recheck_after = left;
  } else {
    step.begin = input.able && !input.busy;  // else a change wakes the controller
  }
  return step;
}

}  // namespace safekit::replication
