#pragma once

#include "controllers/role/plan.h"

namespace safekit::role {

/// After a swap the new secondary needs a moment to connect.
inline constexpr Duration kReconnectGrace = seconds{5};
/// When a synchronisation ends, the peer's heartbeat may be ahead of the replica's report.
inline constexpr Duration kReportGrace = seconds{1};

/// What the clock says of the moments in Memory. The machine compares no times itself, so that a search through its states
/// ends. A moment that lies ahead, because the clock was set back, is taken for long past, or noted anew: nothing waits for the
/// clock to catch up. Pure.
[[nodiscard]] Elapsed elapsed(const Desired& desired, const Memory& memory, WallTime now);

}  // namespace safekit::role
