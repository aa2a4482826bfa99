#pragma once

#include <optional>

#include "controllers/role/plan.h"
#include "schema/status/timeline.h"

/// Follows the primary role as it comes from the other node to this one, pass by pass, for its time line. Pure.
namespace safekit::role {

struct MoveWatch {
  status::Moments moments{};
  bool losing{false};   ///< the other node is leaving the role, or lost
  bool taking{false};   ///< and this one is on its way to it
  bool switched{false};
  std::optional<MonoTime> lease_asked{};
  friend bool operator==(const MoveWatch&, const MoveWatch&) = default;
};

/// `before` and `after` are those of one pass. Gives the time line when this node has arrived.
[[nodiscard]] std::optional<status::Timeline> watch_move(MoveWatch& watch, const Memory& before, const Memory& after, const Observed& observed,
                                                         MonoTime now);

}  // namespace safekit::role
