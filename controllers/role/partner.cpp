#include "controllers/role/partner.h"

#include <utility>

#include "controllers/role/machine.h"

/// When a primary may go on without its peer, and what is noted of their copies: docs/resync.md.
namespace safekit::role {
namespace {

/// It has handed the primary role over, and is about to follow.
bool follows_soon(const status::PeerSection& peer) {
  return peer.heard && peer.module_known && peer.role == Role::Second && peer.readiness == Readiness::Transient && peer.up_to_date;
}

}  // namespace

bool is_gone(const status::PeerSection& peer) {
  return peer.heard && (!peer.module_known || peer.role == Role::Stop || peer.role == Role::Wait);
}

bool is_silent(const status::PeerSection& peer, const status::ReplicationSection& replica) {
  return !peer.heard && !(replica.alive && replica.connected);
}

bool is_dead(const status::PeerSection& peer, const status::ReplicationSection& replica) {
  return is_silent(peer, replica) && peer.silence_known;
}

bool serves(const status::PeerSection& peer) { return peer.heard && peer.module_known && status::is_serving(peer.role); }

bool is_ahead(const status::PeerSection& peer, const status::ReplicationSection& replica) {
  const bool is_sure = peer.replicates && peer.up_to_date && peer.ever_synchronised && !peer.paired;
  return is_gone(peer) && is_sure && peer.generation != 0 && replica.alive && peer.generation != replica.generation;
}

bool has_left_us(const status::PeerSection& peer, const status::ReplicationSection& replica) {
  const bool is_there = peer.heard && peer.module_known && (peer.role != Role::Second || peer.in_service_hand_over);
  return is_there && !peer.paired && !replica.connected;
}

bool Machine::is_parted() const {
  const auto& replica = observed_.replication;
  const bool is_of_pair = desired_.replicates && section().role == Role::Prim && section().paired && !section().replica.may_be_alone;
  return is_of_pair && replica.alive && !replica.connected;
}

bool Machine::peer_is_complete() const {
  const auto& peer = observed_.peer;
  const auto& replica = observed_.replication;
  const bool ready = peer.heard && peer.module_known && peer.role == Role::Second && peer.readiness == Readiness::Ready;
  return ready && (!desired_.replicates || (replica.connected && replica.peer_synchronised && !replica.waiting_for_alone));
}

bool Machine::peer_cannot_take_over() const {
  const auto& peer = observed_.peer;
  if (!peer.heard) return is_dead(peer, observed_.replication) && witness_allows();
  if (!peer.module_known) return true;
  // What it said before it was asked may be older than the end of a synchronisation, by which its copy became the newest.
  if (peer.answered_pairing == 0 || peer.answered_pairing != observed_.replication.pairing) return false;
  // In STOP or WAIT with a copy that was parted from ours: it cannot start without having heard of us.
  if (is_gone(peer) && peer.paired) return true;
  return peer.replicates && (!peer.up_to_date || peer.marked_out_of_date);
}

bool Machine::let_go_alone() {
  const auto& replica = observed_.replication;
  const auto& peer = observed_.peer;
  auto& order = section().replica;
  const bool ordering = !memory().steps.empty() && std::holds_alternative<OrderReplica>(memory().steps.front());
  const auto ask = [&](bool wanted) {
    const std::uint64_t pairing = wanted ? replica.pairing : 0;
    const bool same = section().out_of_date_requested == wanted && section().asked_pairing == pairing;
    section().out_of_date_requested = wanted;
    section().asked_pairing = pairing;
    return !same;
  };
  // Left standing, it would have the copy marked of a node that has become a secondary by a swap since.
  if (!desired_.replicates || order.role != ReplicaOrder::Role::Primary) return ask(false);
  if (ordering || !replica.alive || !replica.settled || replica.order != order) return false;
  if (order.may_be_alone) {
    if (replica.waiting_for_alone) {
      // A permission covers one loss of the peer; for the next one the wish has to be a new one.
      order.may_be_alone = order.by_lease = false;
      order.pairing = 0;
      memory().alone_by = AloneBy::Peer;
      return true;
    }
    // By lease, and now the peer is heard: once it says that it cannot take over, the witness may go.
    const bool by_lease = order.by_lease && peer.heard && !replica.connected;
    if (by_lease && peer_cannot_take_over()) {
      (void)ask(false);
      order.by_lease = false;
      order.pairing = replica.pairing;
      memory().alone_by = AloneBy::Peer;
      return true;
    }
    // It went on when the peer was silent; now the peer speaks and takes its copy for the newest still. For a moment it
    // looks the same when a synchronisation has just ended and the replica's report is on its way.
    const bool doubtful = !replica.connected && peer.heard && peer.role == Role::Second && peer.up_to_date;
    WallTime& since = memory().doubted;
    if (!doubtful || since == WallTime{} || elapsed_.doubt_is_ahead) {
      since = doubtful ? observed_.wall_now : WallTime{};
      elapsed_.report_grace = elapsed_.doubt_is_ahead = false;
    }
    return ask(by_lease || (doubtful && elapsed_.report_grace));
  }
  const bool gone = is_gone(peer) || is_dead(peer, replica);
  const bool overdue = is_ready() && elapsed_.reconnect_grace;
  // After a swap the other node is on its way, with a copy that is as new as this one: to go on without it would make it an old one.
  const bool arrives = section().role == Role::Prim && !elapsed_.reconnect_grace && follows_soon(peer);
  const bool lost = (replica.waiting_for_alone && !arrives) || (!replica.connected && (gone || overdue));
  if (!lost || !peer_cannot_take_over()) return ask(lost && peer.heard);
  (void)ask(false);  // the order changes in any case
  go_alone_by(peer.heard ? AloneBy::Peer : AloneBy::Witness);
  order.may_be_alone = true;
  order.by_lease = is_by_lease();
  order.pairing = replica.pairing;
  // From the first write that the peer does not have, this copy is beyond doubt, also when it stops before it is ALONE.
  section().paired = false;
  return true;
}

/// Alone, this copy is beyond doubt. It no longer is from the moment at which that of a secondary may become complete; a
/// secondary joins only when it has heard that this is noted.
bool Machine::note_partner() {
  const auto& peer = observed_.peer;
  const bool serves_alone = section().role == Role::Alone || section().role == Role::Prim;
  // ALONE as well may have a secondary that has become complete, and lose it before it is PRIM: then the copy stays in doubt.
  const bool alone = serves_alone && section().replica.may_be_alone && !observed_.replication.waiting_for_alone;
  if (!desired_.replicates || !alone || memory().stopping) return false;
  // Of one that is silent, and may go on by the witness's word, only this side's living replica knows that it was never complete.
  if (has_granting_witness() && !peer.heard && !(observed_.replication.alive && observed_.replication.settled)) return false;
  const bool follows = peer.heard && peer.module_known && peer.role == Role::Second;
  const bool is_old = peer.replicates && !peer.up_to_date;
  const bool paired = follows && (section().paired || is_old);
  return std::exchange(section().paired, paired) != paired;
}

}  // namespace safekit::role
