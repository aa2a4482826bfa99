#include "controllers/watchdog/effect.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace safekit::watchdog {
namespace {

constexpr const char* kCondition = "WatchdogCounts";
constexpr const char* kFact = "watchdog";

}  // namespace

WatchdogController::WatchdogController(const Ports& ports, Duration limit, std::string boot)
    : ports_(ports), limit_(limit), boot_(std::move(boot)) {
  observed_.left_counting = ports_.store.fact(kFact) == boot_;
}

WatchdogController::~WatchdogController() {
  if (observed_.counts) end();
}

std::optional<engine::Request> WatchdogController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{"watchdog"};
}

Result<engine::Outcome> WatchdogController::reconcile(const engine::Request&) {
  observed_.is_needed = is_needed();
  Plan plan = decide(observed_, ports_.clock.mono_now());
  switch (plan.act) {
    case Plan::Act::None: break;
    case Plan::Act::Begin: begin(); break;
    case Plan::Act::Feed: feed(); break;
    case Plan::Act::End: end(); break;
  }
  if (plan.act == Plan::Act::Begin || plan.act == Plan::Act::End) plan = decide(observed_, ports_.clock.mono_now());
  if (!observed_.counts && !observed_.is_needed && !observed_.left_counting) problem_.clear();
  publish();
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

bool WatchdogController::is_needed() const {
  return std::ranges::any_of(ports_.store.local_modules(), [this](const ModuleName& module) {
    return ports_.store.status(module).role.role != status::Role::Stop;
  });
}

void WatchdogController::begin() {
  const auto counting = ports_.watchdog.begin(limit_);
  const MonoTime now = ports_.clock.mono_now();
  if (!counting) {
    observed_.failed = now;
    const std::string problem = fmt::format("No watchdog: {}. A node that hangs is not reset; safekitd tries again by itself", counting.error().what);
    if (problem != problem_) tell('C', problem);
    problem_ = problem;
    return;
  }
  problem_.clear();
  (void)ports_.store.set_fact(kFact, boot_, false);
  observed_ = {.is_needed = observed_.is_needed, .counts = true, .can_be_ended = counting->can_be_ended, .limit = counting->limit, .fed = now};
  tell('E', fmt::format("The watchdog counts: a node that hangs for {} is reset{}", to_string(counting->limit),
                        counting->can_be_ended ? "" : ". It cannot be stopped any more (nowayout): safekitd must not be stopped for so long"));
}

void WatchdogController::feed() {
  if (const auto fed = ports_.watchdog.feed(); !fed) {
    const std::string problem = fmt::format("{}: this node is reset within {} unless that ends", fed.error().what, to_string(observed_.limit));
    if (problem_.empty()) tell('C', problem);
    problem_ = problem;
  } else {
    problem_.clear();
  }
  observed_.fed = ports_.clock.mono_now();
}

void WatchdogController::end() {
  if (const auto ended = ports_.watchdog.end(); !ended) {
    tell('C', ended.error().what);
    observed_.can_be_ended = false;  // and so it is fed on
    return;
  }
  (void)ports_.store.forget_fact(kFact);
  observed_ = {};
  tell('E', "The watchdog is stopped");
}

void WatchdogController::tell(char level, const std::string& text) { ports_.store.record(ModuleName{}, "watchdog", level, text); }

void WatchdogController::publish() {
  for (const ModuleName& module : ports_.store.local_modules()) {
    const auto& conditions = ports_.store.status(module).conditions;
    const auto found = std::ranges::find(conditions, kCondition, &status::Condition::type);
    const std::string shown = found == conditions.end() ? "" : found->message;
    if (shown == problem_) continue;
    ports_.store.update_status(module, [&](status::Module& seen) {
      std::erase_if(seen.conditions, [](const status::Condition& one) { return one.type == kCondition; });
      if (!problem_.empty()) seen.conditions.push_back({.type = kCondition, .reason = "NoWatchdog", .message = problem_, .since = ports_.clock.wall_now()});
    });
  }
}

}  // namespace safekit::watchdog
