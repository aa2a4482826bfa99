// How the next synchronisation is to be made: commands in, choices to the replica and back to the default.
#include "controllers/replication/effect.h"

#include <fmt/format.h>

namespace safekit::replication {

std::string ReplicationController::policy_key(const std::string& module) { return "replication.policy/" + module; }

/// Durable: a node that was told to compare everything must not forget it.
Status ReplicationController::save(const std::string& module, Live& live, Policy policy) {
  if (policy == live.policy) return {};
  SK_TRY_VOID(ports_.store.set_fact(policy_key(module), encode(policy), true));
  live.policy = std::move(policy);
  return {};
}

Status ReplicationController::take_choices(const std::string& module, Live& live) {
  const ModuleName name{module};
  for (const store::Operation& operation : ports_.store.pending(name)) {
    if (operation.verb != store::kRfsSync || operation.id == live.policy.operation) continue;
    const auto spec = ports_.store.module(name);
    const bool replicates = spec != nullptr && spec->replication.has_value();
    const auto chosen = !replicates ? Result<Policy>{Error{Code::Conflict, "the module replicates no directory"}}
                        : live.policy.operation != 0
                            ? Result<Policy>{Error{Code::Conflict, "another choice is being carried out; try again"}}
                            : choose_policy(operation.argument, ports_.store.status(name).role.role, ports_.clock.wall_now(),
                                            ports_.clock.mono_now(), operation.id);
    if (!chosen) {
      SK_TRY_VOID(ports_.store.finish(operation.id, chosen.error().what));
      continue;
    }
    ports_.store.record(name, "safekit", 'U', fmt::format("Action rfssync {} called by {}", operation.argument, operation.caller));
    SK_TRY_VOID(save(module, live, *chosen));
    if (chosen->operation == 0) SK_TRY_VOID(ports_.store.finish(operation.id, "done"));
  }
  return {};
}

Status ReplicationController::settle_choice(const std::string& module, Live& live) {
  const ModuleName name{module};
  PolicyStep step{.next = live.policy};
  if (live.observed.report) {
    step = step_policy(live.policy, *live.observed.report);
  }
  if (step.next.operation != 0 && ports_.store.status(name).role.role != status::Role::Alone) {
    step = {.outcome = "this node is no longer ALONE"};
  }
  const std::uint64_t operation = live.policy.operation;
  SK_TRY_VOID(save(module, live, step.next));
  if (!step.outcome.empty()) SK_TRY_VOID(ports_.store.finish(operation, step.outcome));
  if (!step.line.empty()) ports_.store.record(name, "rfsplug", 'E', step.line);
  return {};
}

}  // namespace safekit::replication
