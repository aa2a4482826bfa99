#include "controllers/role/elapsed.h"

namespace safekit::role {

Elapsed elapsed(const Desired& desired, const Memory& memory, WallTime now) {
  const auto is_over = [now](WallTime since, Duration length) {
    return since != WallTime{} && (since.ns > now.ns || now.ns - since.ns > length.count());
  };
  return {.reconnect_grace = is_over(memory.section.since, kReconnectGrace),
          .report_grace = memory.doubted.ns <= now.ns && is_over(memory.doubted, kReportGrace),
          .doubt_is_ahead = memory.doubted.ns > now.ns,
          .loop_interval = is_over(memory.loop_began, desired.loop_interval),
          .loop_interval_of_last = is_over(memory.loop_last, desired.loop_interval)};
}

}  // namespace safekit::role
