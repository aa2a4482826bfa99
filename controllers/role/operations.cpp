#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "controllers/role/machine.h"
#include "controllers/role/own_rules.h"
#include "controllers/role/sequences.h"
#include "controllers/role/sync_at.h"

/// What commands and detectors may ask for in which state: spec/operations.md 1.13.
namespace safekit::role {
namespace {

bool is_corrective(std::string_view verb) { return verb == "restart" || verb == "stopstart" || verb == "swap"; }

std::string refuse(const status::RoleSection& section, std::string_view verb, std::string_view fix) {
  return fmt::format("{} is not possible in state {} {}: {}", verb, status::to_string(section.role),
                     status::to_string(section.readiness), fix);
}

}  // namespace

void Machine::take_operations() {
  for (const store::Operation& item : observed_.operations) {
    const std::string outcome = operation(item);
    plan_.finished.push_back({item.id, outcome});
  }
  if (!desired_.exists && memory().started && !memory().stopping) begin_stop("stop", false);
}

std::string Machine::operation(const store::Operation& op) {
  if (!desired_.exists) return "the module is not configured on this node";
  if (op.verb == store::kIncLoop || op.verb == store::kResetLoop || op.verb == store::kCheckLoop) return loop_operation(op);
  if (op.verb == "shutdown" && !memory().started) return std::string{kDone};  // nothing that is worth a line
  const char level = op.automatic ? 'C' : 'U';
  const Plan before = plan_;
  const Elapsed times = elapsed_;
  say("safekit", level, fmt::format("Action {} called {}{}", op.verb, op.caller == store::kAtBootTime ? "" : "by ", op.caller));
  if (!op.automatic && op.verb != kUpdate) reset_loop();
  const Plan announced = plan_;
  const std::string outcome = carry_out(op);
  const bool counts = op.automatic && is_corrective(op.verb) && !before.memory.stopping;
  if (outcome != kDone) {
    plan_ = before;  // a refused command leaves the module, its log and its counter unchanged
    elapsed_ = times;
  } else if (counts && is_last_action()) {
    plan_ = announced;  // the stop comes in the place of the action
    (void)count_action();
  } else if (counts) {
    add_to_loop();
    if (op.verb == "stopstart") reboot_between();
  }
  return outcome;
}

std::string Machine::carry_out(const store::Operation& op) {
  if (op.verb == "start") return start_operation(op, Intent::Automatic);
  if (op.verb == "prim") return start_operation(op, Intent::Prim);
  if (op.verb == "second") return start_operation(op, Intent::Second);
  if (op.verb == "primforce") return start_operation(op, Intent::PrimForce);
  if (op.verb == "stop" || op.verb == "shutdown") return stop_operation(op, false);
  if (op.verb == "stopstart") return stop_operation(op, true);
  if (op.verb == "forcestop") return force_stop_operation();
  if (op.verb == "restart") return restart_operation();
  if (op.verb == "swap") return swap_operation();
  if (op.verb == kUpdate) return update_operation();
  if (op.verb == store::kSyncNow) return sync_now_operation();
  return fmt::format("'{}' is not a command of a module", op.verb);
}

void Machine::reboot_between() {
  if (!desired_.automatic_reboot) return;
  memory().reboot = true;
  say("heartplug", 'C', "The node is rebooted when the module has stopped (automaticReboot)");
}

std::string Machine::start_operation(const store::Operation& op, Intent intent) {
  if (intent != Intent::Automatic && desired_.mode != Mode::Mirror) {
    return fmt::format("{} is for mirror modules only", op.verb);
  }
  if (desired_.mode == Mode::Farm) {
    return "farm modules do not run yet: the load of a farm would reach no node; use a mirror or a light module";
  }
  if (memory().stopping) return refuse(section(), op.verb, "it is still stopping; wait for STOP");
  if (memory().started) return refuse(section(), op.verb, "it is started already; `safekit stop` comes first");
  if (observed_.script.by_hand) return "its application runs by hand: run its AM_stop_wrapper first";
  // What starts by itself starts all the same: the service is to return, and the condition tells.
  const bool by_itself = op.automatic || op.caller == store::kAtBootTime;
  if (!by_itself && !observed_.unconfigured.empty()) return observed_.unconfigured;
  memory().full_resync = op.argument == "fullsync" || intent == Intent::PrimForce;
  memory().held_by_failover_off = false;
  begin_start(intent);
  // Who says `second` does not want to wait for a date.
  memory().sync_due = intent == Intent::Second && follows_dates(desired_, memory());
  return std::string{kDone};
}

std::string Machine::sync_now_operation() {
  if (desired_.sync_at.empty()) return "the module has no syncAt: a secondary that is started is synchronised at once";
  if (!follows_dates(desired_, memory())) return refuse(section(), "synchronisation", "it is for the node that waits for its date");
  if (!memory().sync_due) say("rfsplug", 'E', "Resource rfs.syncat set to up by a command");
  memory().sync_due = true;
  return std::string{kDone};
}

std::string Machine::stop_operation(const store::Operation& op, bool start_again) {
  Memory& m = memory();
  if (!m.started) {
    // Stopping what is stopped is no error: scripts and pipelines repeat themselves.
    return start_again ? refuse(section(), op.verb, "use `safekit start`") : std::string{kDone};
  }
  if (m.stopping) {
    m.start_again = m.start_again && start_again;
    return std::string{kDone};
  }
  m.fault = op.automatic ? fmt::format("`safekit {}` was called by {}", op.verb, op.caller) : std::string{};
  if (m.steps.empty()) {
    begin_stop(start_again ? "stopstart" : "stop", start_again);
  } else {
    m.stop_requested = true;
    m.stop_requested_again = start_again;
  }
  return std::string{kDone};
}

std::string Machine::force_stop_operation() {
  const RunScript end_processes{.name = std::string{status::kEndProcesses}};
  if (!memory().started) {
    if (memory().steps.empty() && observed_.script.left_running) begin({end_processes});
    return std::string{kDone};
  }
  section().script.reset();  // whatever runs is given up
  begin_stop("stop", false);
  memory().forced = true;
  memory().fault.clear();
  std::erase_if(memory().steps, [](const Step& step) { return std::holds_alternative<RunScript>(step); });
  // First of all: who has files open holds the file system.
  if (observed_.script.left_running) memory().steps.push_front(end_processes);
  return std::string{kDone};
}

std::string Machine::restart_operation() {
  if (!is_running() || !is_ready() || !memory().steps.empty()) {
    return refuse(section(), "restart", "it needs a stable ALONE, PRIM, SECOND or UP");
  }
  begin(steps_restart(desired_, section().role));
  return std::string{kDone};
}

/// The script `update`: what it reads anew is for it to know. The role stays Ready.
std::string Machine::update_operation() {
  if (is_updating()) {
    // It may have read already what is to be read anew: once more after it.
    if (memory().steps.size() == 1) std::ranges::move(steps_update(desired_, section().role), std::back_inserter(memory().steps));
    return std::string{kDone};
  }
  const bool serves_alone = is_ready() && (section().role == Role::Alone || section().role == Role::Up);
  const bool waits = section().role == Role::Wait && section().readiness == Readiness::NotReady && !memory().stopping;
  if (!memory().steps.empty() || (!serves_alone && !waits)) {
    return refuse(section(), kUpdate, "it needs a stable ALONE or UP, or WAIT NotReady");
  }
  begin(steps_update(desired_, section().role));
  return std::string{kDone};
}

std::string Machine::swap_operation() {
  if (desired_.mode != Mode::Mirror) return "swap is for mirror modules only";
  const bool stable = is_ready() && memory().steps.empty();
  const auto& peer = observed_.peer;
  if (stable && section().role == Role::Prim && peer_is_complete()) {
    say("heart", 'E', "Begin of Swap");
    section().in_service_hand_over = true;
    begin(steps_prim_to_second(desired_));
    return std::string{kDone};
  }
  if (stable && section().role == Role::Second && peer.heard && peer.role == Role::Prim && peer.readiness == Readiness::Ready) {
    section().swap_requested = true;
    return std::string{kDone};
  }
  return refuse(section(), "swap", "it needs one node PRIM Ready and the other SECOND Ready");
}

bool Machine::take_requests() {
  bool acted = false;
  const auto take = [&](const std::optional<status::ActionRequest>& request, std::uint64_t& seen) {
    if (!request || request->id <= seen || is_updating()) return;
    seen = request->id;
    // A request raised during a transition speaks of an application that is being stopped or started anyway.
    if (!is_running() || !is_ready() || !memory().steps.empty()) return;
    // Of rules that hold at once a `wait` is more severe: at_rest acts upon it.
    const bool milder = request->action == "restart" || request->action == "swap";
    if (request->from_rule && milder && !observed_.failover.wait_rules_true.empty()) return;
    act(*request);
    acted = true;
  };
  take(observed_.errd.request, memory().errd_seen);
  take(observed_.failover.request, memory().failover_seen);
  return acted;
}

void Machine::act(const status::ActionRequest& request) {
  const std::string& action = request.action;
  say("heart", 'C', fmt::format("Action {} {} {}", action, request.from_rule ? "from failover rule" : "called by", request.by));
  if (action == "stop") return begin_stop("stop", false);
  if (request.by != kSplitBrainFailure && !count_action()) return;  // no fault of the application or of this node
  if (action == "restart") return begin(steps_restart(desired_, section().role, request.services));
  if (action == "stopstart") {
    begin_stop("stopstart", true);
    return reboot_between();
  }
  if (action == "wait") return begin_stop("stopwait", true);
  if (action == "swap") (void)swap_operation();  // not possible now: the next request of the detector tries again
}

}  // namespace safekit::role
