// Looks at the copies, and what is told of them.
#include <algorithm>

#include "controllers/replication/effect.h"

namespace safekit::replication {
namespace {

using State = control::Inspection::State;

}  // namespace

/// Of the fact that says what was told of the last verification.
std::string ReplicationController::verify_key(const std::string& module) {
  return "replication.verified/" + module;
}

Result<std::uint64_t> ReplicationController::inspect(const std::string& module, control::Inspect::Kind kind) {
  const auto found = modules_.find(module);
  if (found == modules_.end() || found->second.link == nullptr || !found->second.observed.connected) {
    return Error{Code::Unavailable, "the replication of this module does not run on this node"};
  }
  Live& live = found->second;
  const std::uint64_t last = live.inspection ? live.inspection->number : 0;
  if (kind == control::Inspect::Kind::Stop) {
    SK_TRY_VOID(live.link->send(control::Inspect{.number = last, .kind = kind}));
    return last;
  }
  if (live.inspection && live.inspection->state == State::Running) {
    return Error{Code::Conflict, "a verification or estimate of this module is under way already; wait for it, or end it with "
                                 "`safekit rfsverify stop`"};
  }
  const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(ports_.clock.wall_now().ns, 1));
  const control::Inspect inspect{.number = std::max(now, last + 1), .kind = kind};
  SK_TRY_VOID(live.link->send(inspect));
  live.inspection = control::Inspection{.number = inspect.number, .kind = kind};
  return inspect.number;
}

std::optional<control::Inspection> ReplicationController::inspection(const std::string& module) const {
  const auto found = modules_.find(module);
  return found == modules_.end() ? std::nullopt : found->second.inspection;
}

void ReplicationController::take_inspection(const std::string& module, control::Inspection&& inspection) {
  modules_[module].inspection = std::move(inspection);
  wake_(engine::Request{module});
  if (inspected_) inspected_(module);
}

/// Whoever waits for it is to hear that nothing will come.
void ReplicationController::lose_inspection(const std::string& module, Live& live) {
  if (!live.inspection || live.inspection->state != State::Running) return;
  live.inspection->state = State::Failed;
  live.inspection->reason = "the replication process of the node has ended";
  if (inspected_) inspected_(module);
}

void ReplicationController::tell_of_differences(const std::string& module, const Live& live) {
  const ModuleName name{module};
  std::string told = ports_.store.fact(verify_key(module)).value_or("");
  // The other node is primary, and speaks of the copies, from now on.
  const bool speaks = !live.observed.report || live.observed.report->role != control::ReplicaRole::Secondary;
  if (!speaks && !told.empty()) {
    if (!ports_.store.forget_fact(verify_key(module))) return;
    told.clear();
  }
  const VerifyNews news = verify_news(module, speaks ? live.inspection : std::nullopt, told);
  // Kept before it is said: after a power loss in between, the condition still says it.
  if (news.told != told && !ports_.store.set_fact(verify_key(module), news.told, true)) return;
  for (const Line& line : news.lines) ports_.store.record(name, line.component, line.level, line.text);
  set_condition(name, kCopiesDiffer, news.condition);
}

void ReplicationController::set_condition(const ModuleName& name, const std::string& type,
                                          std::optional<status::Condition> condition) {
  const auto conditions = ports_.store.status(name).conditions;
  const auto old = std::ranges::find(conditions, type, &status::Condition::type);
  if (old != conditions.end() && condition) condition->since = old->since;
  if (old == conditions.end() ? !condition : condition == *old) return;
  if (condition && old == conditions.end()) condition->since = ports_.clock.wall_now();
  ports_.store.update_status(name, [&](status::Module& m) {
    std::erase_if(m.conditions, [&](const status::Condition& one) { return one.type == type; });
    if (condition) m.conditions.push_back(*condition);
  });
}

}  // namespace safekit::replication
