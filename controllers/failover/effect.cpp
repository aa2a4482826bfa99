#include "controllers/failover/effect.h"

#include <algorithm>
#include <charconv>

#include "schema/check/failover_rules.h"

namespace safekit::failover {
namespace {

std::string fact_key(const std::string& module) {
  return "failover/" + module;
}

Observed observe(const status::Module& seen) {
  Observed observed{.checkers = seen.settings.checker, .awaited = seen.checker.awaited};
  if (seen.peer.heard) observed.remote = seen.peer.resources;
  for (const auto& [name, value] : seen.resources) observed.local.emplace(name, value.value);
  return observed;
}

Desired desired_of(const spec::Module& module) {
  Desired desired{.rules = check::failover_rules(module)};
  const spec::FailoverRules usual;
  // As in SafeKit a rule acts at once, unless another time than the usual one is asked for
  // (spec/runtime.md 3.1).
  if (module.failover_rules && module.failover_rules->handle_time != usual.handle_time) {
    desired.hold = module.failover_rules->handle_time;
  }
  return desired;
}

/// What changes is evaluated at once, which is within any period; only a longer one than the usual keeps evaluations apart.
Duration period_of(const spec::Module& module) {
  const spec::FailoverRules usual;
  return module.failover_rules && module.failover_rules->period > usual.period ? module.failover_rules->period : Duration{};
}

}  // namespace

std::optional<engine::Request> FailoverController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> FailoverController::reconcile(const engine::Request& request) {
  const ModuleName name{request.name};
  const auto spec = store_.module(name);
  if (spec == nullptr && store_.status(name).role.since == WallTime{}) {
    modules_.erase(request.name);  // deleted, and its role has stopped it
    SK_TRY_VOID(store_.forget_fact(fact_key(request.name)));
    return engine::Outcome{};
  }
  Live& live = modules_[request.name];
  load(name, live);
  const status::Module& status = store_.status(name);
  Observed observed = observe(status);
  const MonoTime now = clock_.mono_now();
  // Most changes of a status are of nothing that a rule reads: progress, heartbeats, scripts.
  const bool is_due = live.due && now >= *live.due;
  if (live.seen == observed && !is_due && status.failover.watched == status.checker.watched) {
    return engine::Outcome{.requeue_after = live.due ? std::optional{*live.due - now} : std::nullopt};
  }
  // Who waits for what the rules say of other classes has its answer at once.
  const MonoTime next = live.evaluated ? *live.evaluated + live.period : now;
  if (now < next && !is_due && status.failover.watched == status.checker.watched) return engine::Outcome{.requeue_after = next - now};
  live.evaluated = now;
  live.seen.reset();
  const auto floor = static_cast<std::uint64_t>(clock_.wall_now().ns);
  const Plan plan = decide(live.desired, observed, live.memory, now, floor);
  if (plan.memory.last_request != live.memory.last_request) {
    SK_TRY_VOID(store_.set_fact(fact_key(request.name), std::to_string(plan.memory.last_request), false));
  }
  live.memory = plan.memory;
  publish(name, plan);
  live.seen = std::move(observed);
  live.due = plan.recheck_after ? std::optional{now + *plan.recheck_after} : std::nullopt;
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

void FailoverController::load(const ModuleName& name, Live& live) {
  if (!live.loaded) {
    live.loaded = true;
    if (const auto text = store_.fact(fact_key(name.str()))) {
      // A text that is no number leaves 0: the wall clock keeps the numbers growing.
      (void)std::from_chars(text->data(), text->data() + text->size(), live.memory.last_request);
    }
  }
  const auto spec = store_.module(name);
  if (spec == live.spec) return;
  live.spec = spec;
  live.seen.reset();
  live.desired = spec == nullptr ? Desired{} : desired_of(*spec);
  live.period = spec == nullptr ? Duration{} : period_of(*spec);
  live.evaluated.reset();
}

void FailoverController::publish(const ModuleName& name, const Plan& plan) {
  const WallTime now = clock_.wall_now();
  store_.update_status(name, [&](status::Module& m) {
    status::FailoverSection& section = m.failover;
    for (const auto& [label, verdict] : section.verdicts) {
      if (!plan.verdicts.contains(label)) m.resources.erase("rule." + label);  // the rule is gone
    }
    for (const auto& [resource, value] : plan.shown) {
      auto& slot = m.resources[resource];
      if (slot.value != value || slot.source.empty()) slot = {.value = value, .assigned = now, .source = "heart"};
    }
    section.watched = m.checker.watched;
    section.request = plan.memory.request;
    section.wait_rules_true = plan.wait_rules_true;
    section.wait_rule_init = plan.wait_rule_init;
    std::map<std::string, status::RuleVerdict> verdicts = plan.verdicts;
    for (auto& [label, verdict] : verdicts) {
      const auto before = section.verdicts.find(label);
      const bool is_new =
          before == section.verdicts.end() || std::ranges::find(plan.begun, label) != plan.begun.end();
      verdict.since = is_new ? now : before->second.since;
    }
    section.verdicts = std::move(verdicts);
  });
}

}  // namespace safekit::failover
