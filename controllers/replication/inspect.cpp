// Looks at the copies, and what is told of them.
#include <algorithm>
#include <charconv>

#include "controllers/replication/effect.h"

namespace safekit::replication {
namespace {

using State = control::Inspection::State;
using Cause = control::Inspect::Cause;

std::int64_t number_in(const std::string& text) {
  std::int64_t number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);  // 0, long ago, for what cannot be read
  return number;
}

}  // namespace

/// Of the fact that says what was told of the last verification.
std::string ReplicationController::verify_key(const std::string& module) {
  return "replication.verified/" + module;
}

/// When the last verification that was completed had begun, by this node's clock.
std::string ReplicationController::schedule_key(const std::string& module) {
  return "replication.verifiedAt/" + module;
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
  const bool busy = live.inspection && live.inspection->state == State::Running;
  if (busy && live.inspection->cause != Cause::Schedule) {
    return Error{Code::Conflict, "a verification or estimate of this module is under way already; wait for it, or end it with "
                                 "`safekit rfsverify stop`"};
  }
  return begin_inspection(live, {.kind = kind});
}

/// Its number is when it began.
Result<std::uint64_t> ReplicationController::begin_inspection(Live& live, control::Inspect inspect) {
  const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(ports_.clock.wall_now().ns, 1));
  inspect.number = std::max(now, (live.inspection ? live.inspection->number : 0) + 1);
  SK_TRY_VOID(live.link->send(inspect));
  live.inspection = control::Inspection{.number = inspect.number, .kind = inspect.kind, .cause = inspect.cause};
  return inspect.number;
}

/// `verifyEvery`: begins a verification when it is due. When to look again.
std::optional<Duration> ReplicationController::keep_verified(const std::string& module, Live& live) {
  const auto spec = ports_.store.module(ModuleName{module});
  if (spec == nullptr || !spec->replication || spec->replication->verify_every == Duration{}) return std::nullopt;
  const status::Module& seen = ports_.store.status(ModuleName{module});
  const bool prim = seen.role.role == status::Role::Prim && seen.role.readiness == status::Readiness::Ready;
  ScheduleInput input{.every = spec->replication->verify_every,
                      .able = prim && live.link != nullptr && seen.replication.settled && seen.replication.peer_synchronised,
                      .busy = live.inspection && live.inspection->state == State::Running,
                      .failed = live.verify_failed};
  if (const auto kept = ports_.store.fact(schedule_key(module))) input.last = WallTime{number_in(*kept)};
  const ScheduleStep step = schedule(input, ports_.clock.wall_now(), ports_.clock.mono_now());
  // What cannot be kept is only verified once more after the next start.
  if (step.last) (void)ports_.store.set_fact(schedule_key(module), std::to_string(step.last->ns), true);
  if (!step.begin) return step.recheck_after;
  const auto begun = begin_inspection(
      live, {.cause = Cause::Schedule, .bytes_per_second = std::uint64_t{spec->replication->verify_rate_kb} * 1024});
  if (!begun) live.verify_failed = ports_.clock.mono_now();
  return std::min(kVerifyAgain, input.every);
}

std::optional<control::Inspection> ReplicationController::inspection(const std::string& module) const {
  const auto found = modules_.find(module);
  return found == modules_.end() ? std::nullopt : found->second.inspection;
}

void ReplicationController::take_inspection(const std::string& module, control::Inspection&& inspection) {
  Live& live = modules_[module];
  live.inspection = std::move(inspection);
  note_verified(module, live);
  wake_(engine::Request{module});
  if (inspected_) inspected_(module);
}

/// For the schedule; one that a person asked for counts as well.
void ReplicationController::note_verified(const std::string& module, Live& live) {
  if (live.inspection->kind != control::Inspect::Kind::Verify) return;
  if (live.inspection->state == State::Failed && live.inspection->cause == Cause::Schedule) {
    live.verify_failed = ports_.clock.mono_now();
  }
  if (live.inspection->state != State::Done) return;
  live.verify_failed.reset();
  const std::string began = std::to_string(live.inspection->number);
  // Told again after each new connection to the replica.
  if (ports_.store.fact(schedule_key(module)) != began) (void)ports_.store.set_fact(schedule_key(module), began, true);
}

/// Whoever waits for it is to hear that nothing will come.
void ReplicationController::lose_inspection(const std::string& module, Live& live) {
  if (!live.inspection || live.inspection->state != State::Running) return;
  live.inspection->state = State::Failed;
  live.inspection->reason = "the replication process of the node has ended";
  note_verified(module, live);
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
