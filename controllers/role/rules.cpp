#include <fmt/format.h>

#include "controllers/role/machine.h"
#include "controllers/role/partner.h"
#include "controllers/role/sequences.h"
#include "controllers/role/start.h"

/// What happens in a stable state, and in those that serve: spec/runtime.md 1.7, 1.8 and 1.10, design.md 6. WAIT is in
/// rest_wait.cpp, SECOND in rest_second.cpp.
namespace safekit::role {

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
    if (again && m.reboot) {
      section().reason = "the node is being rebooted (automaticReboot)";
      plan_.reboot = true;
      return false;
    }
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

bool Machine::replica_failed() {
  if (!desired_.replicates) return false;
  if (observed_.replication.died) {
    say("rfsplug", 'C', "Action stopstart called by heart: the replication process died");
    begin_stop("stopstart", true);
    return true;
  }
  if (observed_.replication.hung && status::is_serving(section().role)) {
    say("rfsplug", 'C', "The replicated file system does not answer: the module is stopped and started again");
    act({.action = "stopstart", .by = "checktime"});
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
    act({.action = "wait", .by = label, .from_rule = true});
    return true;
  }
  if (desired_.mode != Mode::Mirror) return false;
  if (split_brain() || passed_over()) return true;
  return section().role == Role::Alone ? rest_alone() : rest_prim();
}

/// Both serve. Who does not hold the lease gives way, where one of them does; else who is still of a pair, which the other one has left;
/// else who became primary by failover; else the order that both sides compute alike. A peer in Transient may be about to stop: giving
/// way to it could leave nobody with the newest data.
bool Machine::split_brain() {
  // A peer that takes this one's stream is a secondary, whatever a heartbeat of its earlier life said.
  const bool has_secondary = desired_.replicates && observed_.replication.connected;
  if (!serves(observed_.peer) || observed_.peer.readiness != Readiness::Ready || has_secondary) {
    memory().split_brain_noted = false;
    return false;
  }
  const bool local = section().came_from_second;
  const bool remote = observed_.peer.came_from_second;
  bool gives_way = local != remote ? local : !prefers_local(desired_, observed_);
  // One that was stopped, or the clock of its machine, while the other one took over: it has not heard of that yet.
  // A new safekitd has not asked yet whether it still has what it is active by.
  using Answer = status::LeaseSection::Answer;
  const Answer answer = observed_.lease.answer;
  const bool is_open = answer == Answer::NotAsked || answer == Answer::Asked;
  const bool holds = answer == Answer::Granted || (memory().alone_by == AloneBy::Witness && is_open);
  if (has_granting_witness() && holds != observed_.peer.holds_lease) {
    gives_way = !holds;
  } else if (desired_.replicates && section().paired != observed_.peer.paired) {
    gives_way = section().paired;  // who is still of a pair has acknowledged nothing that the other one has not
  }
  if (gives_way) {
    say("heart", 'C', "Split brain recovery: exiting alone");
    give_way();
    return true;
  }
  if (!memory().split_brain_noted) say("heart", 'C', "Split brain recovery: staying alone");
  memory().split_brain_noted = true;
  return false;
}

/// It stood still while the other node served alone, and then stopped: all that was acknowledged here is there, and more.
bool Machine::is_passed_over() const { return is_parted() && is_ahead(observed_.peer, observed_.replication); }

bool Machine::passed_over() {
  if (!is_passed_over()) return false;
  say("heart", 'C', "Action stopstart called by heart: the other node has served without this one, and has the newer copy");
  give_way();
  return true;
}

void Machine::give_way() {
  begin_stop("stopstart", true);
  memory().gives_way = true;
  for (Step& step : memory().steps) {
    if (auto* replica = std::get_if<OrderReplica>(&step)) replica->order.mark_out_of_date = true;
  }
}

bool Machine::rest_alone() {
  if (!peer_is_complete()) return false;
  section().came_from_second = false;
  go_alone_by(AloneBy::Peer);
  begin(steps_alone_to_prim(desired_));
  return true;
}

bool Machine::rest_prim() {
  const auto& peer = observed_.peer;
  section().paired = desired_.replicates;
  section().in_service_hand_over = false;
  const bool dead = is_dead(peer, observed_.replication) && witness_allows();
  const bool alone = desired_.replicates ? section().replica.may_be_alone : dead || is_gone(peer);
  if (!alone) return default_primary_swap();
  if (!desired_.replicates) go_alone_by(dead ? AloneBy::Witness : AloneBy::Peer);
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

}  // namespace safekit::role
