#include <utility>

#include <fmt/format.h>

#include "controllers/role/machine.h"
#include "controllers/role/sequences.h"
#include "controllers/role/start.h"

/// What happens in a stable state: spec/runtime.md 1.6 to 1.8 and 1.10, design.md 6.
namespace safekit::role {
namespace {

constexpr std::string_view kNotUpToDate = "notuptodate_server";
constexpr std::string_view kForceUpToDate = "rfs_forceuptodate";
constexpr std::string_view kSyncAtWait = "rfs_syncat_wait";
constexpr std::string_view kFailoverOff = "failover-off";
constexpr Duration kReconnectGrace = seconds{5};
constexpr Duration kReportGrace = seconds{1};

bool is_gone(const status::PeerSection& peer) {
  return peer.heard && (!peer.module_known || peer.role == Role::Stop || peer.role == Role::Wait);
}

/// Every heartbeat is lost, and so is the replication stream, which counts as one (design.md 6).
bool is_dead(const status::PeerSection& peer, const status::ReplicationSection& replica) {
  return !peer.heard && peer.silence_known && !(replica.alive && replica.connected);
}

bool serves(const status::PeerSection& peer) { return peer.heard && peer.module_known && status::is_serving(peer.role); }

std::vector<Say> wait_for_data_lines() {
  return {{"heart", 'C', fmt::format("Action wait from failover rule {}", kNotUpToDate)},
          {"rfsplug", 'E',
           "Data may be not uptodate for replicated directories (wait for the start of the remote server)"},
          {"rfsplug", 'E',
           "If you are sure that this server has valid data, run safekit stop, then safekit prim to force start as primary"}};
}

}  // namespace

bool Machine::at_rest() {
  Memory& m = memory();
  if (!m.steps.empty()) return false;
  if (stop_as_requested()) return true;  // it came during the last step
  if (m.stopping) {
    if (section().role != Role::Stop) {
      begin(steps_end_stop(desired_, m.stop_word));
      return true;
    }
    const bool again = m.start_again && desired_.exists;
    m.started = m.stopping = m.start_again = false;
    if (again) {
      say("heart", 'U', "Action start called automatically");
      begin_start(Intent::Automatic);
    }
    return true;
  }
  if (!m.started) return false;
  switch (section().role) {
    case Role::Stop: return false;
    case Role::Wait: return rest_wait();
    case Role::Alone:
    case Role::Prim:
    case Role::Up: return rest_serving();
    case Role::Second: return rest_second();
  }
  return false;
}

/// WAIT NotReady until something changes. Says why once, when it begins to wait for this.
bool Machine::block(std::string_view label, std::string reason, std::vector<Say> lines) {
  if (section().readiness == Readiness::NotReady && section().waiting_for == label) return false;
  for (Say& line : lines) plan_.lines.push_back(std::move(line));
  enter(Role::Wait, Readiness::NotReady);
  section().waiting_for = std::string{label};
  section().reason = std::move(reason);
  return true;
}

bool Machine::rest_wait() {
  // The `pre` checkers have not been taken up yet: what they will say may hold the start.
  if (observed_.failover.watched != section().watched) return false;
  if (!observed_.failover.wait_rules_true.empty()) {
    const std::string& label = observed_.failover.wait_rules_true.front();
    return block(label, fmt::format("failover rule '{}' holds it", label),
                 {{"heart", 'C', fmt::format("Action wait from failover rule {}", label)}});
  }
  if (replica_failed()) return true;
  if (memory().held_by_failover_off && !serves(observed_.peer)) {
    return block(kFailoverOff, "failover is off: start the other node, or `safekit stop` and `safekit prim` here",
                 {{"heart", 'E', "Failover-off configured"}});
  }
  if (!observed_.failover.wait_rule_init) return start_decided();
  enter(Role::Wait, Readiness::Transient);
  return false;
}

void Machine::say_forced() {
  say("rfsplug", 'C', fmt::format("Resource rfs.uptodate set to up by failover rule {}", kForceUpToDate));
  say("rfsplug", 'E',
      fmt::format("The copies were equal less than {} ago (syncDelta): what the other node has written since is not here",
                  safekit::to_string(desired_.sync_delta)));
}

bool Machine::wait_for_date() {
  return block(kSyncAtWait,
               fmt::format("synchronised at '{}' (syncAt), and no standby until then: `safekit set -r rfs.syncat -v up` synchronises now",
                           desired_.sync_at),
               {{"heart", 'C', fmt::format("Action wait from failover rule {}", kSyncAtWait)}});
}

bool Machine::start_decided() {
  const bool was_blocked = section().readiness == Readiness::NotReady;
  const auto wake = [&] {
    if (was_blocked) say("heart", 'I', "Action wakeup from failover rule Implicit_wakeup");
    enter(Role::Wait, Readiness::Transient);
  };
  if (desired_.mode != Mode::Mirror) {
    wake();
    begin(steps_to_alone(desired_, {}));
    return true;
  }
  const StartInput input = start_input(desired_, observed_, memory());
  const StartOutcome outcome = decide_start(input);
  std::string cause;  // why a start by `prim` or `second` is given up
  switch (outcome) {
    case StartOutcome::Hold:
      wake();
      section().reason = "waiting to hear from the other node, or to know that it is silent";
      return false;
    case StartOutcome::WaitForData:
      return block(kNotUpToDate,
                   "this copy of the data is not known to be the newest: start the other node, or `safekit stop` and "
                   "`safekit prim` on the node with the valid data",
                   wait_for_data_lines());
    case StartOutcome::WaitForChoice:
      return block("first_start",
                   "first start, and both nodes have data in the replicated directories: `safekit stop` on both, then "
                   "`safekit prim` on the node whose data shall be kept",
                   wait_for_data_lines());
    case StartOutcome::WaitForConsent:
      return block("not_empty",
                   fmt::format("{} not empty here, and never synchronised: the primary's copy would replace what is in it. "
                               "`safekit stop`, then either empty it (or move its content away) and `safekit start`, or "
                               "`safekit second fullsync` to have it replaced",
                               desired_.directories),
                   {{"heart", 'C', "Action wait from failover rule not_empty"},
                    {"rfsplug", 'E',
                     fmt::format("{} not empty and was never synchronised: nothing is replaced without `safekit second "
                                 "fullsync`", desired_.directories)}});
    case StartOutcome::BecomeAlone: {
      if (!observed_.addresses.probed) {
        wake();
        return false;
      }
      if (observed_.addresses.in_use_elsewhere) {
        return block("address_in_use", observed_.addresses.problem,
                     {{"vipplug", 'C', observed_.addresses.problem}});
      }
      wake();
      if (input.local == Copy::Inconsistent) {
        say("rfsplug", 'E', "The last consistent copy of the data is put back; what was written since is not in it");
      }
      if (input.intent == Intent::Automatic && input.peer == PeerPlace::Silent && input.local != Copy::UpToDate) say_forced();
      section().paired = false;
      begin(steps_to_alone(desired_, {.role = ReplicaOrder::Role::Primary,
                                      .may_be_alone = true,
                                      .force_up_to_date = input.intent == Intent::Prim || input.local != Copy::UpToDate,
                                      .full_resync = memory().full_resync}));
      return true;
    }
    case StartOutcome::BecomeSecond:
      // One that was interrupted goes on, also where a reboot has made it forget the date.
      if (!desired_.sync_at.empty() && !memory().sync_due && input.local != Copy::Inconsistent) return wait_for_date();
      wake();
      section().paired = true;
      memory().held_by_failover_off = false;
      begin(steps_to_second(desired_,
                            // The primary has gone on without this copy: were it to take itself for the newest still, a power
                            // loss of both could bring it back in place of the primary's. See join_primary.
                            {.role = ReplicaOrder::Role::Idle, .mark_out_of_date = true}));
      return true;
    case StartOutcome::AbortPrimary:
      cause = "the other node is primary already: stop it first, or use `safekit start` here";
      say("rfsplug", 'E', "The remote server is primary already: it must be stopped first");
      break;
    case StartOutcome::AbortInconsistent:
      cause = "a synchronisation of this copy was begun and has not ended, so its data are of no use alone: start the other "
              "node, then `safekit start` here";
      say("rfsplug", 'E', "Data may be inconsistent for replicated directories (stopped during reintegration)");
      say("rfsplug", 'E', "Start the other node first: this one follows it with safekit start");
      break;
    case StartOutcome::AbortSecond:
      cause = "there is no primary to follow: start the other node first, or use `safekit start` here";
      say("rfsplug", 'E', "There is no primary to follow: start the other node first, or use safekit start");
      break;
  }
  const std::string_view verb = input.intent == Intent::Prim ? "prim" : "second";
  say("heart", 'E', fmt::format("Requested {} start aborted", verb));
  stop_for_fault(fmt::format("`safekit {}` was given up: {}", verb, cause));
  return true;
}

bool Machine::replica_failed() {
  if (!desired_.replicates) return false;
  if (observed_.replication.died) {
    say("rfsplug", 'C', "Action stopstart called by heart: the replication process died");
    begin_stop("stopstart", true);
    return true;
  }
  if (observed_.replication.hung && status::is_serving(section().role)) {
    say("rfsplug", 'C', "The replicated file system does not answer: the module is stopped and started again");
    act("stopstart", "checktime", false);
    return true;
  }
  if (observed_.replication.fatal && observed_.replication.order == section().replica) {
    say("rfsplug", 'C', fmt::format("Action stop called by heart : local fault ({})", observed_.replication.problem));
    stop_for_fault(observed_.replication.problem);
    return true;
  }
  return false;
}

bool Machine::rest_serving() {
  if (replica_failed()) return true;
  if (!observed_.failover.wait_rules_true.empty()) {
    const std::string label = observed_.failover.wait_rules_true.front();
    act("wait", label, true);
    return true;
  }
  if (desired_.mode != Mode::Mirror) return false;
  if (split_brain()) return true;
  return section().role == Role::Alone ? rest_alone() : rest_prim();
}

/// Both serve: whoever became primary by failover gives way; else the order that both sides compute alike. A peer in
/// Transient may be about to stop: giving way to it could leave nobody with the newest data.
bool Machine::split_brain() {
  // A peer that takes this one's stream is a secondary, whatever a heartbeat of its earlier life said.
  const bool has_secondary = desired_.replicates && observed_.replication.connected;
  if (!serves(observed_.peer) || observed_.peer.readiness != Readiness::Ready || has_secondary) {
    memory().split_brain_noted = false;
    return false;
  }
  const bool local = section().came_from_second;
  const bool remote = observed_.peer.came_from_second;
  const bool give_way = local != remote ? local : !prefers_local(desired_, observed_);
  if (give_way) {
    say("heart", 'C', "Split brain recovery: exiting alone");
    begin_stop("stopstart", true);
    for (Step& step : memory().steps) {
      if (auto* replica = std::get_if<OrderReplica>(&step)) replica->order.mark_out_of_date = true;
    }
    return true;
  }
  if (!memory().split_brain_noted) say("heart", 'C', "Split brain recovery: staying alone");
  memory().split_brain_noted = true;
  return false;
}

bool Machine::peer_is_complete() const {
  const auto& peer = observed_.peer;
  const auto& replica = observed_.replication;
  const bool ready = peer.heard && peer.module_known && peer.role == Role::Second && peer.readiness == Readiness::Ready;
  return ready && (!desired_.replicates || (replica.connected && replica.peer_synchronised && !replica.waiting_for_alone));
}

bool Machine::peer_cannot_take_over() const {
  const auto& peer = observed_.peer;
  if (!peer.heard) return is_dead(peer, observed_.replication);
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
  if (!desired_.replicates || order.role != ReplicaOrder::Role::Primary || ordering) return false;
  if (!replica.alive || !replica.settled || replica.order != order) return false;

  const auto ask = [&](bool wanted) {
    const std::uint64_t pairing = wanted ? replica.pairing : 0;
    const bool same = section().out_of_date_requested == wanted && section().asked_pairing == pairing;
    section().out_of_date_requested = wanted;
    section().asked_pairing = pairing;
    return !same;
  };
  if (order.may_be_alone) {
    if (replica.waiting_for_alone) {
      // A permission covers one loss of the peer; for the next one the wish has to be a new one.
      order.may_be_alone = false;
      order.pairing = 0;
      return true;
    }
    // It went on when the peer was silent; now the peer speaks and takes its copy for the newest still. For a moment it
    // looks the same when a synchronisation has just ended and the replica's report is on its way.
    const bool doubtful = !replica.connected && peer.heard && peer.role == Role::Second && peer.up_to_date;
    WallTime& since = memory().doubted;
    // A clock that was set back meanwhile: measured anew, or the question would wait until it has caught up.
    const bool begins = since == WallTime{} || since.ns > observed_.wall_now.ns;
    if (!doubtful || begins) since = doubtful ? observed_.wall_now : WallTime{};
    return ask(doubtful && observed_.wall_now.ns - since.ns > kReportGrace.count());
  }
  const bool gone = is_gone(peer) || is_dead(peer, replica);
  // After a swap the new secondary needs a moment to connect.
  const bool overdue = is_ready() && observed_.wall_now.ns - section().since.ns > kReconnectGrace.count();
  const bool lost = replica.waiting_for_alone || (!replica.connected && (gone || overdue));
  if (!lost || !peer_cannot_take_over()) return ask(lost && peer.heard);
  (void)ask(false);  // the order changes in any case
  order.may_be_alone = true;
  order.pairing = replica.pairing;
  // From the first write that the peer does not have, this copy is beyond doubt, also when it stops before it is ALONE.
  section().paired = false;
  return true;
}

/// Alone, this copy is beyond doubt. It no longer is from the moment at which that of a secondary may become complete; a
/// secondary joins only when it has heard that this is noted.
bool Machine::note_partner() {
  const auto& peer = observed_.peer;
  const bool alone = section().role == Role::Alone || (section().role == Role::Prim && section().replica.may_be_alone);
  if (!desired_.replicates || !alone || memory().stopping) return false;
  const bool follows = peer.heard && peer.module_known && peer.role == Role::Second;
  const bool is_old = peer.replicates && !peer.up_to_date;
  const bool paired = follows && (section().paired || is_old);
  return std::exchange(section().paired, paired) != paired;
}

bool Machine::rest_alone() {
  if (!peer_is_complete()) return false;
  section().came_from_second = false;
  begin(steps_alone_to_prim(desired_));
  return true;
}

bool Machine::rest_prim() {
  const auto& peer = observed_.peer;
  section().paired = desired_.replicates;
  section().in_service_hand_over = false;
  const bool alone = desired_.replicates ? section().replica.may_be_alone
                                         : is_dead(peer, observed_.replication) || is_gone(peer);
  if (!alone) return default_primary_swap();
  section().paired = false;
  begin(steps_prim_to_alone(desired_, section().replica));
  return true;
}

/// The secondary asked for the primary role (`swap` given there, or defaultprim).
bool Machine::default_primary_swap() {
  if (!observed_.peer.swap_requested || !peer_is_complete()) return false;
  say("heart", 'E', "Begin of Swap");
  section().in_service_hand_over = true;
  begin(steps_prim_to_second(desired_));
  return true;
}

bool Machine::rest_second() {
  if (replica_failed()) return true;
  if (!observed_.failover.wait_rules_true.empty()) {
    const std::string label = observed_.failover.wait_rules_true.front();
    act("wait", label, true);
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
    if (is_gone(peer) && !replica.connected) return fail_over("remote stop");
    return is_dead(peer, replica) && fail_over("no heartbeat");
  }
  if (section().in_service_hand_over) {
    // Until this side follows it, the new primary acknowledges nothing by itself unless this copy is marked. So an unmarked
    // copy is still the newest, and when the peer does not take the role, or dies with it, the role comes back.
    const bool newest = replica.settled && replica.up_to_date && replica.order == section().replica;
    const bool not_taken = peer.heard && !serves(peer) && (is_gone(peer) || (peer.replicates && !peer.up_to_date));
    if (newest && (not_taken || is_dead(peer, replica))) return fail_over("swap not taken");
    // Marked, and the other side has begun anew: it waits for this one to leave.
    const bool over = is_gone(peer) && replica.settled && !replica.up_to_date && replica.order == section().replica;
    if (!is_dead(peer, replica) && !over) return false;
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
  if (peer.heard && peer.role == Role::Second && peer.in_service_hand_over) {
    section().swap_requested = false;
    begin(steps_second_to_prim(desired_, {.role = ReplicaOrder::Role::Primary}));
    return true;
  }
  // The primary goes on without this copy: from now on it is old.
  const bool left_behind = desired_.replicates && peer.heard && peer.out_of_date_requested;
  if (left_behind || (desired_.replicates && replica.alive && replica.settled && !replica.up_to_date)) {
    section().replica.mark_out_of_date = true;
    section().replica.pairing = left_behind ? peer.asked_pairing : 0;
    section().replica.full_resync = false;  // that one has ended
    section().swap_requested = false;
    enter(Role::Second, Readiness::Transient);
    section().reason = "the primary goes on without this copy; waiting to be synchronised again";
    return true;
  }
  // A primary publishes WAIT after it has closed the stream; while the stream lives, it is not gone.
  if (is_gone(peer) && !(desired_.replicates && replica.connected)) return fail_over("remote stop");
  if (is_dead(peer, replica)) return fail_over("no heartbeat");
  return false;
}

bool Machine::leave_until_next_date() {
  if (desired_.sync_at.empty() || !desired_.replicates) return false;
  say("rfsplug", 'E', "Resource rfs.syncat set to down by heart");
  say("heart", 'C', fmt::format("Action wait from failover rule {}", kSyncAtWait));
  memory().sync_due = memory().full_resync = false;
  begin_stop("stopwait", true);
  return true;
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
  begin(steps_failover(desired_, {.role = ReplicaOrder::Role::Primary, .may_be_alone = true}));
  return true;
}

}  // namespace safekit::role
