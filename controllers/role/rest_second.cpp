#include <fmt/format.h>

#include "controllers/role/machine.h"
#include "controllers/role/partner.h"
#include "controllers/role/sequences.h"
#include "controllers/role/sync_at.h"

/// SECOND: from joining a primary to taking over from it. spec/runtime.md 1.7 and 1.8, docs/resync.md.
namespace safekit::role {

bool Machine::rest_second() {
  if (replica_failed()) return true;
  if (!observed_.failover.wait_rules_true.empty()) {
    const std::string label = observed_.failover.wait_rules_true.front();
    act({.action = "wait", .by = label, .from_rule = true});
    return true;
  }
  return is_ready() ? second_ready() : second_synchronising();
}

/// The copy is marked; the primary has to know that it is no longer the only one before the copies become equal.
bool Machine::join_primary() {
  const auto& peer = observed_.peer;
  const auto& replica = observed_.replication;
  auto& order = section().replica;
  if (order.role != ReplicaOrder::Role::Idle || !desired_.replicates) return false;
  if (!replica.settled || replica.order != order || !serves(peer) || !peer.paired) return false;
  order = {.role = ReplicaOrder::Role::Secondary, .full_resync = memory().full_resync};
  return true;
}

bool Machine::second_synchronising() {
  const auto& peer = observed_.peer;
  const auto& replica = observed_.replication;
  if (join_primary()) return true;
  if (serves(peer)) section().in_service_hand_over = false;
  const bool complete = replica.settled && replica.up_to_date && replica.order == section().replica &&
                        !section().replica.mark_out_of_date;
  const bool synchronised =
      !desired_.replicates || (complete && replica.connected && replica.peer_synchronised && !replica.unverified);
  if (serves(peer) && synchronised) {
    section().paired = true;
    const bool scripts_ran = section().watched.contains(WatchClass::Second);
    begin(steps_second_ready(desired_, !scripts_ran));
    return true;
  }
  // Also where the copy is taken for old already: a synchronisation may have ended that is not known here yet.
  const bool asked = peer.heard && peer.out_of_date_requested;
  if (asked && (!section().replica.mark_out_of_date || section().replica.pairing != peer.asked_pairing)) {
    section().replica.mark_out_of_date = true;
    section().replica.pairing = peer.asked_pairing;
    return true;
  }
  // The mark has been made: from here on the copy may be brought up to date again, once the primary knows that it will then
  // not be the only one (as in join_primary). The replica takes no stream before.
  const bool primary_knows = serves(peer) && peer.paired && !peer.out_of_date_requested;
  if (section().replica.mark_out_of_date && replica.settled && replica.order == section().replica && primary_knows) {
    section().replica.mark_out_of_date = false;
    section().replica.pairing = 0;
    return true;
  }
  // It has all and goes on having it while the primary compares: it takes over as one that is Ready.
  if (desired_.replicates && complete && replica.unverified && !section().in_service_hand_over) {
    if (has_left_us(peer, replica)) {
      section().replica.mark_out_of_date = true;
      return true;
    }
    if (is_gone(peer) && !replica.connected) return fail_over("remote stop");
    return is_dead(peer, replica) && fail_over_from_dead("no heartbeat");
  }
  if (section().in_service_hand_over) {
    // Until this side follows it, the new primary acknowledges nothing by itself unless this copy is marked. So an unmarked
    // copy is still the newest, and when the peer does not take the role, or dies with it, the role comes back.
    const bool newest = replica.settled && replica.up_to_date && replica.order == section().replica;
    const bool not_taken = peer.heard && !serves(peer) && (is_gone(peer) || (peer.replicates && !peer.up_to_date));
    // But one that did not hear this side may have gone on alone by the witness's word before it was to be handed anything. What it has
    // comes out when both start.
    const bool went_alone = desired_.replicates && is_gone(peer) && !peer.paired && has_granting_witness();
    if (went_alone || is_ahead(peer, replica)) {
      say("heart", 'C', "Action stopstart called by heart: the other node may have served without this one");
      begin_stop("stopstart", true);
      return true;
    }
    if (newest && is_dead(peer, replica)) return fail_over_from_dead("swap not taken");
    if (newest && not_taken) return fail_over("swap not taken");
    // Marked, and the other side has begun anew: it waits for this one to leave.
    const bool over = is_gone(peer) && replica.settled && !replica.up_to_date && replica.order == section().replica;
    if (!is_dead(peer, replica) && !over) return false;
  }
  // Each has followed what the other one was before: nobody is primary, and nobody would become it.
  const bool follows_as_well = peer.heard && peer.module_known && peer.role == Role::Second && peer.readiness == Readiness::Transient;
  if (follows_as_well && !section().in_service_hand_over && !peer.in_service_hand_over) {
    say("heart", 'C', "Action stopstart called by heart: the other node is no primary either");
    begin_stop("stopstart", true);
    return true;
  }
  if (is_dead(peer, replica) || is_gone(peer)) {
    say("heart", 'C', "Action stopstart called by heart: the primary was lost during the synchronisation");
    begin_stop("stopstart", true);
    return true;
  }
  return false;
}

bool Machine::second_ready() {
  const auto& peer = observed_.peer;
  const auto& replica = observed_.replication;
  const bool mirrored = peer.heard && peer.role == Role::Prim && peer.readiness == Readiness::Ready;
  if (mirrored && leave_until_next_date()) return true;
  if (memory().newcomer && mirrored) {
    memory().newcomer = false;
    const bool wanted = desired_.default_primary == Desired::DefaultPrimary::ThisNode ||
                        (desired_.default_primary == Desired::DefaultPrimary::LastPrim && memory().newcomer_was_primary);
    if (wanted) {
      say("heart", 'E', "Transition SWAP from defaultprim");
      section().swap_requested = true;
      return true;
    }
  }
  if (section().swap_requested && !serves(peer) && !peer.in_service_hand_over) section().swap_requested = false;
  // Lost in the middle of a swap, the primary may have gone on alone: then there is nothing to take over.
  if (peer.heard && peer.role == Role::Second && peer.in_service_hand_over && (peer.paired || !desired_.replicates)) {
    section().swap_requested = false;
    begin(steps_second_to_prim(desired_, {.role = ReplicaOrder::Role::Primary, .peer_left = true}));
    return true;
  }
  // The primary goes on without this copy: from now on it is old.
  const bool asked = peer.heard && peer.out_of_date_requested;
  const bool left_behind = desired_.replicates && (asked || has_left_us(peer, replica));
  if (left_behind || (desired_.replicates && replica.alive && replica.settled && !replica.up_to_date)) {
    section().replica.mark_out_of_date = true;
    section().replica.pairing = asked ? peer.asked_pairing : 0;
    section().replica.full_resync = false;  // that one has ended
    section().swap_requested = false;
    enter(Role::Second, Readiness::Transient);
    section().reason = "the primary goes on without this copy; waiting to be synchronised again";
    return true;
  }
  // A safekitd that has just been started does not know yet what has become of this copy meanwhile.
  if (desired_.replicates && !replica.alive) return false;
  // A primary publishes WAIT after it has closed the stream; while the stream lives, it is not gone.
  if (is_gone(peer) && !(desired_.replicates && replica.connected)) return fail_over("remote stop");
  return is_dead(peer, replica) && fail_over_from_dead("no heartbeat");
}

bool Machine::leave_until_next_date() {
  if (desired_.sync_at.empty() || !desired_.replicates) return false;
  say("rfsplug", 'E', "Resource rfs.syncat set to down by heart");
  say("heart", 'C', fmt::format("Action wait from failover rule {}", kSyncAtWait));
  memory().sync_due = memory().full_resync = false;
  begin_stop("stopwait", true);
  return true;
}

/// Where it has a witness, as soon as that allows it.
bool Machine::fail_over_from_dead(std::string_view why) {
  return (!failover_on() || witness_allows()) && fail_over(why);
}

bool Machine::fail_over(std::string_view why) {
  if (!failover_on()) {
    say("heart", 'E', "Failover-off configured");
    say("heart", 'C', "Action stopstart called by failover-off");
    say("heart", 'E', "Transition STOPSTART from failover-off");
    memory().held_by_failover_off = true;
    begin_stop("stopstart", true);
    return true;
  }
  say("heartplug", 'C', fmt::format("Action alone called by heart: {}", why));
  section().came_from_second = true;
  section().paired = section().in_service_hand_over = section().swap_requested = false;
  const bool heard = observed_.peer.heard;
  go_alone_by(heard ? AloneBy::Peer : AloneBy::Witness);
  begin(steps_failover(desired_, {.role = ReplicaOrder::Role::Primary, .may_be_alone = true, .by_lease = is_by_lease(), .peer_left = heard}));
  return true;
}

}  // namespace safekit::role
