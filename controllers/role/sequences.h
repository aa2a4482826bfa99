#pragma once

#include <deque>

#include "controllers/role/plan.h"

/// The ordered steps of each transition: spec/runtime.md 1.5 (scripts and full sequences), word for word in its order.
/// Pure.
namespace safekit::role {

using Steps = std::deque<Step>;

/// STOP -> WAIT.
[[nodiscard]] Steps steps_start(const Desired& desired);
/// WAIT -> ALONE (mirror) or UP (farm, light). `order` is what the replica shall be.
[[nodiscard]] Steps steps_to_alone(const Desired& desired, const ReplicaOrder& order);
/// WAIT -> SECOND up to the point where the data are being synchronised; the rest is steps_second_ready.
[[nodiscard]] Steps steps_to_second(const Desired& desired, const ReplicaOrder& order);
/// The data are synchronised: scripts of the secondary, then Ready. `run_scripts` is false where they ran already.
[[nodiscard]] Steps steps_second_ready(const Desired& desired, bool run_scripts);
[[nodiscard]] Steps steps_alone_to_prim(const Desired& desired);
[[nodiscard]] Steps steps_prim_to_alone(const Desired& desired, const ReplicaOrder& order);
[[nodiscard]] Steps steps_failover(const Desired& desired, const ReplicaOrder& order);
/// PRIM -> SECOND of a swap, the losing side.
[[nodiscard]] Steps steps_prim_to_second(const Desired& desired);
/// SECOND -> PRIM of a swap, the winning side.
[[nodiscard]] Steps steps_second_to_prim(const Desired& desired, const ReplicaOrder& order);
/// Stop and start scripts of the role, both stop forms back to back. `services`: of these only, which is for the scripts to mind.
[[nodiscard]] Steps steps_restart(const Desired& desired, Role role, const std::vector<std::string>& services = {});
/// The script of an update; no state changes. It may hold decisions up for as long as a graceful stop.
[[nodiscard]] Steps steps_update(const Desired& desired, Role role);
/// Any running state -> WAIT: graceful scripts, then the peer may take over. `order`: how the replica is left.
[[nodiscard]] Steps steps_stop(const Desired& desired, Role role, std::string_view word, const ReplicaOrder& order);
/// WAIT -> STOP: forced scripts and the end.
[[nodiscard]] Steps steps_end_stop(const Desired& desired, std::string_view word);

/// The script of `callbacks: true`; its argument is the event: `_rfs_startsynch` (a node becomes secondary, before its synchronisation),
/// `_rfs_pritoscd` (a swap, on the primary that becomes secondary). An exit code other than 0 stops the module. Source: runtime.md 2.1.
inline constexpr std::string_view kCallback = "_rfs_callback";

inline constexpr std::string_view kUpdate = "update";

/// Which classes are watched in a stable role.
[[nodiscard]] std::set<WatchClass> classes_of(Role role);

}  // namespace safekit::role
