#include <utility>

#include <fmt/format.h>

#include "controllers/role/machine.h"
#include "controllers/role/own_rules.h"
#include "controllers/role/partner.h"
#include "controllers/role/sequences.h"
#include "controllers/role/start.h"

/// WAIT: what holds a start, and what it becomes. spec/runtime.md 1.6.
namespace safekit::role {
namespace {

constexpr std::string_view kForceUpToDate = "rfs_forceuptodate";

std::vector<Say> wait_for_data_lines() {
  return {{"heart", 'C', fmt::format("Action wait from failover rule {}", kNotUpToDate)},
          {"rfsplug", 'E',
           "Data may be not uptodate for replicated directories (wait for the start of the remote server)"},
          {"rfsplug", 'E',
           "If you are sure that this server has valid data, run safekit stop, then safekit prim to force start as primary"}};
}

}  // namespace

/// WAIT NotReady until something changes. Says why once, when it begins to wait for this.
bool Machine::block(std::string_view label, std::string reason, std::vector<Say> lines, std::vector<std::string> evidence) {
  if (section().readiness == Readiness::NotReady && section().waiting_for == label) {
    section().evidence = std::move(evidence);  // it may change while the rule holds
    return false;
  }
  for (Say& line : lines) plan_.lines.push_back(std::move(line));
  enter(Role::Wait, Readiness::NotReady);
  section().waiting_for = std::string{label};
  section().reason = std::move(reason);
  section().evidence = std::move(evidence);
  return true;
}

bool Machine::rest_wait() {
  // The `pre` checkers have not been taken up yet: what they will say may hold the start.
  if (observed_.failover.watched != section().watched) return false;
  if (!observed_.failover.wait_rules_true.empty()) {
    const std::string& label = observed_.failover.wait_rules_true.front();
    std::vector<std::string> evidence;
    if (label == kSplitBrainFailure && !observed_.lease.detail.empty()) evidence.push_back("the witness: " + observed_.lease.detail);
    return block(label, fmt::format("failover rule '{}' holds it", label),
                 {{"heart", 'C', fmt::format("Action wait from failover rule {}", label)}}, std::move(evidence));
  }
  if (replica_failed()) return true;
  if (memory().held_by_failover_off && !serves(observed_.peer)) {
    return block(kFailoverOff, "failover is off: start the other node, or `safekit stop` and `safekit prim` here",
                 {{"heart", 'E', "Failover-off configured"}},
                 {"failover is off, and the primary was lost while this node was its secondary", "no primary is heard"});
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
               {{"heart", 'C', fmt::format("Action wait from failover rule {}", kSyncAtWait)}},
               {"rfs.syncat is down", "the other node is primary"});
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
  switch (outcome) {
    case StartOutcome::Hold:
      wake();
      section().reason = input.peer_is_behind ? "the other node is primary with an older copy, and gives way when it hears of this one"
                                              : "waiting to hear from the other node, or to know that it is silent";
      return false;
    case StartOutcome::AskWitness:
      wake();
      section().reason = "asking the witness whether this node may be primary without the other one";
      return false;
    case StartOutcome::WaitForData:
      return block(kNotUpToDate,
                   "this copy of the data is not known to be the newest: start the other node, or `safekit stop` and "
                   "`safekit prim` on the node with the valid data",
                   wait_for_data_lines(), evidence_of(input));
    case StartOutcome::WaitForChoice:
      return block(kFirstStart,
                   "first start, and both nodes have data in the replicated directories: `safekit stop` on both, then "
                   "`safekit prim` on the node whose data shall be kept",
                   wait_for_data_lines(), evidence_of(input));
    case StartOutcome::WaitForConsent:
      return block(kNotEmpty,
                   fmt::format("{} not empty here, and never synchronised: the primary's copy would replace what is in it. "
                               "`safekit stop`, then either empty it (or move its content away) and `safekit start`, or "
                               "`safekit second fullsync` to have it replaced",
                               desired_.directories),
                   {{"heart", 'C', "Action wait from failover rule not_empty"},
                    {"rfsplug", 'E',
                     fmt::format("{} not empty and was never synchronised: nothing is replaced without `safekit second "
                                 "fullsync`", desired_.directories)}},
                   evidence_of(input));
    case StartOutcome::BecomeAlone: {
      if (!observed_.addresses.probed) {
        wake();
        return false;
      }
      if (observed_.addresses.in_use_elsewhere) {
        return block(kAddressInUse, observed_.addresses.problem,
                     {{"vipplug", 'C', observed_.addresses.problem}}, {observed_.addresses.problem});
      }
      wake();
      if (input.local == Copy::Inconsistent) {
        say("rfsplug", 'E',
            input.local_restorable ? "The last consistent copy of the data is put back; what was written since is not in it"
                                   : "The half synchronised copy is taken as it is (primforce)");
      }
      if (input.intent == Intent::Automatic && input.peer == PeerPlace::Silent && input.local != Copy::UpToDate) say_forced();
      go_alone_by(right_of(input));
      if (memory().alone_by == AloneBy::Hand) {
        say("heart", 'W', "Neither the other node nor the witness is heard: this node is primary because it was told to be");
      }
      section().paired = false;
      begin(steps_to_alone(desired_, {.role = ReplicaOrder::Role::Primary,
                                      .may_be_alone = true,
                                      .force_up_to_date = input.intent != Intent::Automatic || input.local != Copy::UpToDate,
                                      .full_resync = memory().full_resync,
                                      .by_lease = is_by_lease(),
                                      .peer_left = input.peer != PeerPlace::Silent}));
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
    case StartOutcome::AbortLease:
    case StartOutcome::AbortPrimary:
    case StartOutcome::AbortInconsistent:
    case StartOutcome::AbortSecond: break;
  }
  return give_up(outcome);
}

/// A start by `prim` or `second` fails instead of waiting.
bool Machine::give_up(StartOutcome outcome) {
  std::string cause;
  if (outcome == StartOutcome::AbortPrimary) {
    cause = "the other node is primary already: stop it first, or use `safekit start` here";
    say("rfsplug", 'E', "The remote server is primary already: it must be stopped first");
  } else if (outcome == StartOutcome::AbortLease) {
    cause = fmt::format("the other node is not heard, and the witness says that it is primary ({}): stop it first, or, where it has just "
                        "died, try again when its lease is over", observed_.lease.detail);
    say("rfsplug", 'E', "The witness says that the remote server is primary: it must be stopped first");
  } else if (outcome == StartOutcome::AbortInconsistent) {
    cause = "a synchronisation of this copy was begun and has not ended, so its data are of no use alone: start the other "
            "node, then `safekit start` here; `safekit primforce` takes them as they are";
    say("rfsplug", 'E', "Data may be inconsistent for replicated directories (stopped during reintegration)");
    say("rfsplug", 'E', "Start the other node first: this one follows it with safekit start");
    say("rfsplug", 'E', "If you are sure that this server has valid data, run safekit primforce to force start as primary");
  } else {
    cause = "there is no primary to follow: start the other node first, or use `safekit start` here";
    say("rfsplug", 'E', "There is no primary to follow: start the other node first, or use safekit start");
  }
  const Intent intent = memory().intent;
  const std::string_view verb = intent == Intent::Second ? "second" : intent == Intent::Prim ? "prim" : "primforce";
  say("heart", 'E', fmt::format("Requested {} start aborted", verb));
  stop_for_fault(fmt::format("`safekit {}` was given up: {}", verb, cause));
  return true;
}

}  // namespace safekit::role
