#include "controllers/role/synced.h"

namespace safekit::role {

SyncedInput synced_input(const Desired& desired, const Observed& observed, const Memory& memory, std::optional<WallTime> last) {
  const auto& section = memory.section;
  const auto& replica = observed.replication;
  const bool in_pair = (section.role == Role::Prim || section.role == Role::Second) && section.readiness == Readiness::Ready;
  // A stream that is cut off looks alive for a while; the heartbeats know sooner.
  const bool joined = replica.alive && replica.connected && replica.peer_synchronised && !replica.waiting_for_alone &&
                      observed.peer.heard;
  return {.sync_delta = desired.replicates ? desired.sync_delta : Duration{},
          .equal = in_pair && joined && replica.up_to_date,
          .consistent = replica.ever_synchronised && !replica.inconsistent,
          .last = last,
          .now = observed.wall_now};
}

SyncedStep step_synced(const SyncedInput& input) {
  SyncedStep step{.last = input.last};
  if (input.sync_delta <= kSyncDeltaNone) return step;
  const auto age = [&] { return Duration{input.now.ns - step.last->ns}; };
  if (input.equal) {
    if (!step.last || age() < Duration{0} || age() >= kSyncedStep) step.last = input.now;
    step.synced = true;
    step.recheck_after = kSyncedStep - age();
    return step;
  }
  step.synced = input.consistent && step.last && age() >= Duration{0} && age() < input.sync_delta;
  if (*step.synced) step.recheck_after = input.sync_delta - age();
  return step;
}

}  // namespace safekit::role
