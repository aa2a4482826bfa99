#include <algorithm>

#include "controllers/role/machine.h"
#include "controllers/role/partner.h"
#include "controllers/role/start.h"

/// What a witness says of a node that is active without its peer, or is about to be: docs/leases.md, spec/runtime.md 1.10.
namespace safekit::role {
namespace {

using Answer = status::LeaseSection::Answer;
using Witness = status::LeaseSection::Witness;

bool is_no(Answer answer) { return answer == Answer::Refused || answer == Answer::Silent; }

}  // namespace

bool Machine::witness_allows() const {
  return desired_.witness == Witness::None || observed_.lease.lets_begin();
}

/// A transition is under way at whose end this node serves.
bool Machine::takes_role() const {
  return std::ranges::any_of(plan_.memory.steps, [](const Step& step) {
    const auto* state = std::get_if<EnterState>(&step);
    return state != nullptr && status::is_serving(state->role);
  });
}

/// The other node serves, or has served, without this one: what calls wait for here will not come, and a script that waits for them
/// would never end.
bool Machine::is_beaten() const {
  if (is_passed_over()) return true;
  const auto& peer = observed_.peer;
  if (!serves(peer)) return false;
  const bool it_alone_holds = has_granting_witness() && peer.holds_lease && observed_.lease.answer != Answer::Granted;
  return it_alone_holds || (is_parted() && !peer.paired);
}

LeaseNeed Machine::need_of_lease() const {
  const Memory& m = plan_.memory;
  if (status::is_serving(section().role) && (m.gives_way || is_beaten())) return LeaseNeed::Forgone;
  if (desired_.witness == Witness::None || desired_.mode != Mode::Mirror) return LeaseNeed::None;
  const auto& peer = observed_.peer;
  const auto& replica = observed_.replication;
  const bool dead = is_dead(peer, replica);
  // Of a copy that the other node's may be newer than from now on. A no stands: whoever has been refused must not be granted the lease
  // when the other node has used it and died.
  const LeaseNeed until_refused = is_no(observed_.lease.answer) ? LeaseNeed::Stands : LeaseNeed::Needed;
  const auto if_complete = [this](bool complete) {
    return complete && has_granting_witness() ? LeaseNeed::GivenBack : LeaseNeed::None;
  };
  const LeaseNeed if_granting = has_granting_witness() ? LeaseNeed::Wanted : LeaseNeed::None;

  // What this node still has may need the lease, also where nobody waits for its end (forcestop).
  const bool has_role = status::is_serving(section().role) || (!m.stopping && takes_role());
  const bool has_remains = has_granting_witness() && m.stopping && section().lease >= LeaseNeed::Wanted &&
                           (!observed_.addresses.all_unset ||
                            (replica.alive && replica.order.role == ReplicaOrder::Role::Primary));
  if (has_role || has_remains) {
    if (m.alone_by == AloneBy::Hand) return if_granting;
    if (m.alone_by == AloneBy::Witness) return has_granting_witness() || is_silent(peer, replica) ? LeaseNeed::Needed : LeaseNeed::None;
    // ALONE and its secondary complete already, or not yet known to be lost: it acknowledges nothing without it, as in PRIM.
    const bool mirrors = desired_.replicates && section().replica.role == ReplicaOrder::Role::Primary && !section().replica.may_be_alone;
    if (mirrors && dead) return until_refused;
    if (section().role == Role::Prim) return dead ? until_refused : if_complete(is_ready() && peer_is_complete());
    return if_granting;
  }
  if (section().role == Role::Second && !m.stopping) {
    const bool takes_over = is_ready() || replica.unverified || section().in_service_hand_over;
    if (dead && takes_over && failover_on() && m.steps.empty()) return until_refused;
    return if_complete(is_ready() && peer.heard && peer.role == Role::Prim && peer.readiness == Readiness::Ready &&
                       (replica.connected || !desired_.replicates));
  }
  if (section().role == Role::Wait && m.steps.empty() && !m.stopping && dead) {
    if (const LeaseNeed need = need_at_start(); need != LeaseNeed::None) return need;
  }
  const bool goes_on = m.started && (!m.stopping || m.start_again);
  return goes_on && is_silent(peer, replica) && is_no(observed_.lease.answer) ? LeaseNeed::Stands : LeaseNeed::None;
}

/// Whose copy does not let it start has no use for a lease, and would only keep it from the other node.
LeaseNeed Machine::need_at_start() const {
  StartInput input = start_input(desired_, observed_, plan_.memory);
  if (input.witness == WitnessWord::NotNeeded) return LeaseNeed::None;
  input.witness = WitnessWord::Awaited;
  if (decide_start(input) != StartOutcome::AskWitness) return LeaseNeed::None;
  return input.intent == Intent::Automatic ? LeaseNeed::Needed : LeaseNeed::Wanted;
}

void Machine::settle_lease() {
  const LeaseNeed need = need_of_lease();
  if (need == LeaseNeed::Needed && section().lease < LeaseNeed::Wanted) say("heart", 'E', "The other node is not heard: the witness is asked");
  section().lease = need;
  // A start does that with the newest copy only: a standby that hears nothing must not end what the other one serves.
  const bool is_newest = desired_.replicates && start_input(desired_, observed_, plan_.memory).local == Copy::UpToDate;
  section().may_fence = need == LeaseNeed::Needed && (section().role != Role::Wait || is_newest);
  const Memory& m = plan_.memory;
  const bool starts_by_hand = section().role == Role::Wait && m.intent != Intent::Automatic;
  section().lease_by_hand = need == LeaseNeed::Wanted && (starts_by_hand || m.alone_by == AloneBy::Hand);
}

}  // namespace safekit::role
