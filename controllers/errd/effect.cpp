#include "controllers/errd/effect.h"

#include <algorithm>

namespace safekit::errd {
namespace {

std::string fact_key(const std::string& module) {
  return "errd/" + module;
}

}  // namespace

ErrdController::ErrdController(store::Store& store, const Clock& clock, Processes& processes, Wake wake)
    : store_(store), clock_(clock), processes_(processes), wake_(std::move(wake)) {}

std::optional<engine::Request> ErrdController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> ErrdController::reconcile(const engine::Request& request) {
  const std::string& module = request.name;
  const ModuleName name{module};
  Live& live = modules_[module];
  if (store_.module(name) == nullptr && store_.status(name).role.since == WallTime{}) {
    watch(module, live, {});  // deleted, and its role has stopped it
    modules_.erase(module);
    SK_TRY_VOID(store_.forget_fact(fact_key(module)));
    return engine::Outcome{};
  }
  load(module, live);
  refresh_targets(name, live);
  const status::Module& status = store_.status(name);
  Desired desired;
  if (status.settings.errd) desired.watched = status.role.watched;
  desired.targets = live.targets.list;
  if (live.spec != nullptr && live.spec->errd) desired.poll = live.spec->errd->poll;

  const MonoTime now = clock_.mono_now();
  Preparation preparation = prepare(desired, live.memory, live.something_ended, now);
  live.memory = std::move(preparation.memory);
  std::map<std::string, Found> found;
  if (preparation.scan) {
    live.something_ended = false;
    SK_TRY(found, scan(live));
  }
  const auto floor = static_cast<std::uint64_t>(clock_.wall_now().ns);
  const std::uint64_t last_request = live.memory.last_request;
  const Plan plan = decide(desired, found, preparation.scan, live.memory, now, floor);
  if (plan.memory.last_request != last_request) {
    SK_TRY_VOID(store_.set_fact(fact_key(module), std::to_string(plan.memory.last_request), false));
  }
  live.memory = plan.memory;
  publish(name, live, plan);
  if (preparation.scan || live.memory.enabled.empty()) watch(module, live, found);
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

void ErrdController::load(const std::string& module, Live& live) {
  if (live.loaded) return;
  live.loaded = true;
  if (const auto text = store_.fact(fact_key(module))) {
    // Only digits were ever stored; anything else counts as none, and the wall clock keeps the numbers
    // growing.
    for (const char digit : *text) {
      if (digit < '0' || digit > '9') break;
      live.memory.last_request = live.memory.last_request * 10 + static_cast<std::uint64_t>(digit - '0');
    }
  }
}

void ErrdController::refresh_targets(const ModuleName& name, Live& live) {
  const auto spec = store_.module(name);
  if (spec == live.spec) return;
  live.spec = spec;
  live.targets = spec == nullptr ? Targets{} : targets_of(*spec);
  if (!live.targets.problem.empty()) store_.record(name, "errd", 'E', live.targets.problem);
}

Result<std::map<std::string, Found>> ErrdController::scan(const Live& live) {
  SK_TRY(const auto processes, processes_.list());
  std::map<std::string, Found> found;
  for (const Target& target : live.targets.list) {
    if (live.memory.enabled.contains(target.watch_class)) found[target.name] = find(target, processes);
  }
  return found;
}

/// Watches exactly the processes found: the end of one leads to another look at once.
void ErrdController::watch(const std::string& module, Live& live, const std::map<std::string, Found>& found) {
  std::map<std::int32_t, ProcessIdentity> wanted;
  for (const auto& [name, of_target] : found) {
    for (const ProcessIdentity& process : of_target.watch) wanted[process.pid] = process;
  }
  std::erase_if(live.watches, [&](const auto& entry) {
    const auto keep = wanted.find(entry.first);
    if (keep != wanted.end() && keep->second == entry.second.first) return false;
    processes_.unwatch_exit(entry.second.second);
    return true;
  });
  for (const auto& [pid, process] : wanted) {
    if (live.watches.contains(pid)) continue;
    const auto id = processes_.watch_exit(process, [this, module, number = pid] {
      Live& of = modules_[module];
      of.watches.erase(number);
      of.something_ended = true;
      wake_(engine::Request{module});
    });
    if (id) live.watches.emplace(pid, std::pair{process, *id});  // else the poll sees its end
  }
}

void ErrdController::publish(const ModuleName& name, const Live& live, const Plan& plan) {
  const WallTime now = clock_.wall_now();
  // Before the request: the reason stands in the log above what is done about it.
  for (const Line& line : plan.lines) store_.record(name, "errd", line.level, line.text);
  store_.update_status(name, [&](status::Module& m) {
    m.errd.watched = m.role.watched;
    m.errd.request = live.memory.request;
    std::erase_if(m.resources, [&](const auto& resource) {
      return resource.first.starts_with("proc.") && !plan.resources.contains(resource.first);
    });
    for (const auto& [resource, value] : plan.resources) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value != value) old = {.value = value, .assigned = now, .source = "errd"};
    }
  });
}

}  // namespace safekit::errd
