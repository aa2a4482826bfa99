#include "controllers/errd/effect.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

#include <fmt/format.h>

namespace safekit::errd {
namespace {

std::string fact_key(const std::string& module) {
  return "errd/" + module;
}

std::string name_of(status::WatchClass watch_class) {
  switch (watch_class) {
    case status::WatchClass::Pre: return "pre";
    case status::WatchClass::Prim: return "prim";
    case status::WatchClass::Both: return "both";
    case status::WatchClass::Second: return "second";
    case status::WatchClass::Sec: return "sec";
  }
  return "";
}

bool has_ended(const Memory& memory, const Target& target, const std::map<std::string, status::CheckerRun>& runs) {
  const auto handler = memory.handlers.find(target.key);
  if (handler == memory.handlers.end() || handler->second.ended) return false;
  const auto run = runs.find(handler_key(target));
  return run != runs.end() && run->second.count == handler->second.run;
}

bool matches_any(const Targets& targets, const ProcessInfo& process) {
  return std::ranges::any_of(targets.list, [&](const Target& target) { return matches(target, process); });
}

}  // namespace

ErrdController::ErrdController(const Ports& ports, Wake wake) : ports_(ports), wake_(std::move(wake)) {}

std::optional<engine::Request> ErrdController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> ErrdController::reconcile(const engine::Request& request) {
  const std::string& module = request.name;
  const ModuleName name{module};
  Live& live = modules_[module];
  if (ports_.store.module(name) == nullptr && ports_.store.status(name).role.since == WallTime{}) {
    live.memory.enabled.clear();  // deleted, and its role has stopped it
    watch(module, live, {});
    follow_units(module, live);
    modules_.erase(module);
    listen();
    SK_TRY_VOID(ports_.store.forget_fact(fact_key(module)));
    return engine::Outcome{};
  }
  load(module, live);
  refresh_targets(name, live);
  if (ports_.store.status(name).role.role == status::Role::Stop && !live.classes.empty()) {
    live.classes.clear();
    SK_TRY_VOID(save(module, live));
  }
  const Desired desired = desire(name, live);
  const MonoTime now = ports_.clock.mono_now();
  // A handler that has ended has done something about its process.
  for (const Target& target : desired.targets) live.news.ended |= has_ended(live.memory, target, ports_.store.status(name).script.checkers);
  Preparation preparation = prepare(desired, live.memory, std::exchange(live.news, {}), now);
  live.memory = std::move(preparation.memory);
  listen();  // before the table is read: what begins meanwhile is heard of
  follow_units(module, live);
  SK_TRY(const Observed observed, observe(name, preparation, live));
  const std::uint64_t last_request = live.memory.last_request;
  Plan plan = decide(desired, observed, live.memory, now, static_cast<std::uint64_t>(ports_.clock.wall_now().ns));
  live.memory = plan.memory;
  if (live.memory.last_request != last_request) SK_TRY_VOID(save(module, live));
  for (auto& [key, handler] : plan.handlers) handler.arguments = {module, key};
  publish(name, live, plan);
  if (observed.looked || live.memory.enabled.empty()) watch(module, live, observed.found);
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

/// `17 mine others`: the last request's number, and the classes that are enabled.
void ErrdController::load(const std::string& module, Live& live) {
  if (live.loaded) return;
  live.loaded = true;
  const auto text = ports_.store.fact(fact_key(module));
  if (!text) return;
  // A text that is no number leaves 0: the wall clock keeps the numbers growing.
  const auto number = std::from_chars(text->data(), text->data() + text->size(), live.memory.last_request);
  std::istringstream classes{std::string{number.ptr, text->data() + text->size()}};
  for (std::string one; classes >> one;) live.classes.insert(one);
}

Status ErrdController::save(const std::string& module, const Live& live) {
  std::string text = std::to_string(live.memory.last_request);
  for (const std::string& one : live.classes) text += " " + one;
  return ports_.store.set_fact(fact_key(module), text, false);
}

void ErrdController::refresh_targets(const ModuleName& name, Live& live) {
  const auto spec = ports_.store.module(name);
  if (spec == live.spec) return;
  live.spec = spec;
  live.targets = spec == nullptr ? Targets{} : targets_of(*spec);
  live.news.ended = true;  // the table was of other targets
  if (!live.targets.problem.empty()) ports_.store.record(name, "errd", 'E', live.targets.problem);
}

Desired ErrdController::desire(const ModuleName& name, const Live& live) const {
  const status::Module& status = ports_.store.status(name);
  Desired desired;
  desired.is_started = !status.role.watched.empty();
  if (status.settings.errd && desired.is_started) {
    desired.watched = live.classes;
    for (const status::WatchClass one : status.role.watched) desired.watched.insert(name_of(one));
  }
  desired.targets = live.targets.list;
  if (live.spec != nullptr && live.spec->errd) desired.poll = live.spec->errd->poll;
  return desired;
}

Result<Observed> ErrdController::observe(const ModuleName& name, const Preparation& preparation, Live& live) {
  Observed observed{.scanned = preparation.scan, .looked = preparation.look, .runs = ports_.store.status(name).script.checkers};
  if (preparation.scan) {
    SK_TRY(auto all, ports_.processes.list());
    live.table.clear();
    for (ProcessInfo& process : all) {
      if (matches_any(live.targets, process)) live.table.emplace(process.identity.pid, std::move(process));
    }
  }
  if (!preparation.look) return observed;
  std::vector<ProcessInfo> processes;
  for (const auto& [pid, process] : live.table) processes.push_back(process);
  for (const Target& target : live.targets.list) {
    if (!live.memory.enabled.contains(target.watch_class)) continue;
    if (target.unit.empty()) {
      observed.found[target.key] = find(target, processes);
    } else if (const auto running = ports_.units.is_running(target.unit)) {
      observed.found[target.key] = {.count = *running ? 1 : 0, .watch = {}};
    }
  }
  return observed;
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
    ports_.processes.unwatch_exit(entry.second.second);
    return true;
  });
  for (const auto& [pid, process] : wanted) {
    if (live.watches.contains(pid)) continue;
    const auto id = ports_.processes.watch_exit(process, [this, module, number = pid] {
      Live& of = modules_[module];
      of.watches.erase(number);
      of.news.ended = true;
      wake_(engine::Request{module});
    });
    if (id) live.watches.emplace(pid, std::pair{process, *id});  // else the poll sees its end
  }
}

/// Follows exactly the units of enabled classes, and says once why one cannot be known.
void ErrdController::follow_units(const std::string& module, Live& live) {
  std::set<std::string> wanted;
  for (const Target& target : live.targets.list) {
    if (!target.unit.empty() && live.memory.enabled.contains(target.watch_class)) wanted.insert(target.unit);
  }
  std::erase_if(live.units, [&](const auto& unit) {
    if (wanted.contains(unit.first)) return false;
    ports_.units.unwatch(unit.second);
    return true;
  });
  for (const std::string& unit : wanted) {
    if (live.units.contains(unit)) continue;
    live.units[unit] = ports_.units.watch(unit, [this, module] {
      modules_[module].news.changed = true;
      wake_(engine::Request{module});
    });
  }
  const std::string problem = wanted.empty() ? std::string{} : ports_.units.problem();
  if (problem != live.units_problem && !problem.empty()) {
    ports_.store.record(ModuleName{module}, "errd", 'E',
                        fmt::format("Services are not watched: {}; watch their processes by name", problem));
  }
  live.units_problem = problem;
}

/// The events of all processes of this machine, for as long as some module has something watched.
void ErrdController::listen() {
  const bool wanted = std::ranges::any_of(modules_, [](const auto& entry) {
    const Live& live = entry.second;
    return std::ranges::any_of(live.targets.list, [&live](const Target& target) {
      return target.unit.empty() && live.memory.enabled.contains(target.watch_class);
    });
  });
  if (wanted == is_listening_) return;
  is_listening_ = wanted;
  if (!wanted) return ports_.processes.unwatch_events();
  // Where the kernel does not tell us, polls and pidfds find all, later.
  (void)ports_.processes.watch_events([this](const std::vector<ProcessEvent>& events) { hear(events); });
}

void ErrdController::hear(const std::vector<ProcessEvent>& events) {
  const auto is_known = [this](std::int32_t pid) {
    return std::ranges::any_of(modules_, [pid](const auto& entry) { return entry.second.table.contains(pid); });
  };
  std::set<std::int32_t> concerned;
  bool lost = false;
  for (const ProcessEvent& event : events) {
    switch (event.kind) {
      case ProcessEvent::Kind::Changed: concerned.insert(event.pid); break;
      case ProcessEvent::Kind::Forked:
        if (concerned.contains(event.parent) || is_known(event.parent)) concerned.insert(event.pid);
        break;
      case ProcessEvent::Kind::Ended:
        if (is_known(event.pid)) concerned.insert(event.pid);
        break;
      case ProcessEvent::Kind::Lost: lost = true; break;
    }
  }
  for (const std::int32_t pid : concerned) {
    const auto info = ports_.processes.look(pid);
    for (auto& [module, live] : modules_) note(module, live, pid, info);
  }
  if (!lost) return;
  for (auto& [module, live] : modules_) {
    live.news.lost = true;
    wake_(engine::Request{module});
  }
}

/// The event is as old as the socket's buffer is long: only what the process is now counts.
void ErrdController::note(const std::string& module, Live& live, std::int32_t pid, const Result<ProcessInfo>& info) {
  if (live.memory.enabled.empty()) return;  // the table is read when a class is enabled
  const auto known = live.table.find(pid);
  if (!info || !matches_any(live.targets, *info)) {
    if (known == live.table.end()) return;
    live.table.erase(known);
  } else {
    if (known != live.table.end() && known->second == *info) return;
    live.table[pid] = *info;
  }
  live.news.changed = true;
  wake_(engine::Request{module});
}

Status ErrdController::set_class(const ModuleName& module, const std::string& watch_class, bool enabled) {
  const auto spec = ports_.store.module(module);
  if (spec == nullptr) return Error{Code::NotFound, fmt::format("no module '{}' on this node", module.str())};
  if (is_role_class(watch_class)) {
    return Error{Code::Invalid, fmt::format("the class '{}' is enabled and disabled with the module's state", watch_class)};
  }
  Live& live = modules_[module.str()];
  load(module.str(), live);
  refresh_targets(module, live);
  if (std::ranges::find(live.targets.list, watch_class, &Target::watch_class) == live.targets.list.end()) {
    return Error{Code::Invalid, fmt::format("no process of module '{}' has the class '{}'", module.str(), watch_class)};
  }
  if (ports_.store.status(module).role.role == status::Role::Stop) {
    if (!enabled) return {};
    return Error{Code::Conflict, fmt::format("module '{}' is stopped: its scripts enable the class when it starts", module.str())};
  }
  const bool changed = enabled ? live.classes.insert(watch_class).second : live.classes.erase(watch_class) > 0;
  if (changed) SK_TRY_VOID(save(module.str(), live));
  wake_(engine::Request{module.str()});
  return {};
}

std::set<std::string> ErrdController::classes(const std::string& module) const {
  const auto found = modules_.find(module);
  return found == modules_.end() ? std::set<std::string>{} : found->second.classes;
}

void ErrdController::publish(const ModuleName& name, const Live& live, const Plan& plan) {
  const WallTime now = ports_.clock.wall_now();
  // Before the request: the reason stands in the log above what is done about it.
  for (const Line& line : plan.lines) ports_.store.record(name, "errd", line.level, line.text);
  const status::Module& seen = ports_.store.status(name);
  const auto is_shown = [&seen](const auto& resource) {
    const auto found = seen.resources.find(resource.first);
    return found != seen.resources.end() && found->second.value == resource.second;
  };
  const auto is_proc = [](const auto& resource) { return resource.first.starts_with("proc."); };
  const status::ErrdSection section{.watched = seen.role.watched, .request = live.memory.request, .handlers = plan.handlers};
  // Even an update that changes nothing costs a look at the whole status.
  if (section == seen.errd && std::ranges::all_of(plan.resources, is_shown) &&
      static_cast<std::size_t>(std::ranges::count_if(seen.resources, is_proc)) == plan.resources.size()) {
    return;
  }
  ports_.store.update_status(name, [&](status::Module& m) {
    m.errd = section;
    std::erase_if(m.resources, [&](const auto& resource) { return is_proc(resource) && !plan.resources.contains(resource.first); });
    for (const auto& [resource, value] : plan.resources) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value != value) old = {.value = value, .assigned = now, .source = "errd"};
    }
  });
}

}  // namespace safekit::errd
