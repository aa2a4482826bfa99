#include "controllers/checker/effect.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace safekit::checker {
CheckerController::CheckerController(const Ports& ports, Wake wake) : ports_(ports), wake_(std::move(wake)) {
  ports_.interfaces.on_change([this] {
    for (auto& [module, live] : modules_) {
      live.observed.interfaces_changed = true;
      wake_(engine::Request{module});
    }
  });
}

std::optional<engine::Request> CheckerController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> CheckerController::reconcile(const engine::Request& request) {
  const ModuleName name{request.name};
  if (ports_.store.module(name) == nullptr && ports_.store.status(name).role.since == WallTime{}) {
    modules_.erase(request.name);  // deleted, and its role has stopped it
    return engine::Outcome{};
  }
  Live& live = modules_[request.name];
  load(name, live);
  const status::Module& status = ports_.store.status(name);
  live.desired.watched = status.settings.checker ? status.role.watched : std::set<status::WatchClass>{};
  if (live.observed.interfaces_changed) find_links(live);
  Observed observed = std::exchange(live.observed, {});
  for (const auto& [resource, program] : live.memory.programs) {
    const auto set = status.resources.find(resource);
    if (set != status.resources.end()) observed.set.emplace(resource, set->second.value);
  }
  if (!live.memory.programs.empty()) observed.runs = status.script.checkers;
  Plan plan = decide(live.desired, observed, std::move(live.memory), ports_.clock.mono_now());
  live.memory = std::move(plan.memory);
  std::erase_if(live.addresses, [&live](const auto& watch) { return !live.memory.states.contains(watch.first); });
  publish(name, live, plan);
  if (plan.stopstart) {
    // As `safekit stopstart -i modulecheck`: counted, and after a transition that is under way.
    SK_TRY_VOID(ports_.store.submit({.module = request.name, .verb = "stopstart", .caller = "modulecheck", .automatic = true}));
  }
  ask(request.name, plan.asks);
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

void CheckerController::load(const ModuleName& name, Live& live) {
  const auto spec = ports_.store.module(name);
  if (spec == live.spec) return;
  live.spec = spec;
  live.desired.checks = spec == nullptr ? Checks{} : checks_of(*spec);
  ++live.desired.version;
  find_links(live);
}

/// A check of a link stays once its network was seen here: the interface that loses its address is down.
void CheckerController::find_links(Live& live) {
  if (live.spec == nullptr || !live.spec->vip) return;
  const auto interfaces = ports_.interfaces.list();
  if (!interfaces) return;  // the next change of an interface looks again
  for (auto& [resource, check] : link_checks(*live.spec, *interfaces)) {
    if (live.desired.checks.emplace(resource, check).second) ++live.desired.version;
  }
}

void CheckerController::ask(const std::string& module, const std::vector<Ask>& asks) {
  bool local = false;
  for (const Ask& question : asks) {
    const Check& check = question.check;
    if (is_local(check.kind)) {
      local = true;
      continue;
    }
    if (check.kind == Kind::SplitBrain) {
      ask_witnesses(module, question);
      continue;
    }
    if (check.kind == Kind::Module) {
      ask_module(module, question);
      continue;
    }
    auto told = [this, module, resource = resource_of(check), number = question.number](const Status& status) {
      modules_[module].observed.answers[resource] = {number, status.has_value()};
      wake_(engine::Request{module});
    };
    if (check.kind == Kind::Ping) {
      ports_.echo.echo(check.address, check.timeout, std::move(told));
    } else {
      ports_.tcp.connect(check.address, check.port, check.timeout, std::move(told));
    }
  }
  if (!local) return;
  look_at_interfaces(module, asks, modules_[module]);
  wake_(engine::Request{module});
}

/// Of addresses the first answer is enough; without any, the last failure tells.
void CheckerController::ask_witnesses(const std::string& module, const Ask& question) {
  const Check& check = question.check;
  const auto told = [this, module, resource = resource_of(check), number = question.number](const Status& status) {
    modules_[module].observed.answers[resource] = {number, status.has_value()};
    wake_(engine::Request{module});
  };
  if (check.grants) {
    ports_.witness.probe({.kind = *check.grants, .addresses = check.witnesses}, check.timeout, told);
    return;
  }
  const auto left = std::make_shared<std::size_t>(check.witnesses.size());
  for (const std::string& witness : check.witnesses) {
    ports_.echo.echo(witness, check.timeout, [left, told](const Status& status) {
      if (*left == 0 || (--*left > 0 && !status)) return;
      *left = 0;
      told(status);
    });
  }
}

/// Why it cannot be told is said once: an address of nobody is a mistake, and does not mend itself.
void CheckerController::ask_module(const std::string& module, const Ask& question) {
  const Check& check = question.check;
  ports_.modules.ask(check.module, check.address, check.timeout,
                     [this, module, resource = resource_of(check), number = question.number](const Result<ModuleState>& state) {
                       Live& live = modules_[module];
                       live.observed.answers[resource] = {number, state && state->in_service};
                       if (state) live.observed.instances[resource] = state->instance;
                       const std::string problem = state ? std::string{} : state.error().what;
                       std::string& told = live.problems[resource];
                       if (problem != told && !problem.empty()) {
                         ports_.store.record(ModuleName{module}, "modulecheck", 'E', fmt::format("{}: {}", resource, problem));
                       }
                       told = problem;
                       wake_(engine::Request{module});
                     });
}

/// One look answers all that is asked of the interfaces.
void CheckerController::look_at_interfaces(const std::string& module, const std::vector<Ask>& asks, Live& live) {
  const auto interfaces = ports_.interfaces.list();
  for (const Ask& question : asks) {
    if (!is_local(question.check.kind)) continue;
    const std::string resource = resource_of(question.check);
    // A look that failed is no verdict.
    auto fine = interfaces ? std::optional{is_fine(question.check, *interfaces)} : std::nullopt;
    if (question.check.kind == Kind::Ip && fine == true) {
      look_for_conflict(module, question.check, *interfaces, live);
      const auto& conflict = live.addresses[resource].found;
      if (conflict && conflict->node.empty()) fine = false;
    }
    live.observed.answers[resource] = {question.number, fine};
  }
}

void CheckerController::look_for_conflict(const std::string& module, const Check& check, const std::vector<Interface>& interfaces,
                                          Live& live) {
  const std::string resource = resource_of(check);
  AddressWatch& watch = live.addresses[resource];
  const MonoTime now = ports_.clock.mono_now();
  if (watch.asked != 0 || now < watch.due) return;
  watch.due = now + check.interval;
  std::vector<std::pair<NodeName, IpAddress>> others;
  if (const auto cluster = ports_.store.cluster()) {
    for (const spec::Lan& lan : cluster->lans) {
      for (const spec::NodeAddress& node : lan.nodes) {
        const auto ip = parse_ip(node.address);
        if (ip && node.name != ports_.store.node()) others.emplace_back(node.name, *ip);
      }
    }
  }
  const auto address = parse_ip(check.address);
  auto question = address ? conflict_question(*address, interfaces, others) : std::nullopt;
  if (!question) return;
  watch.asked = ++searches_;
  find_conflict(ports_.interfaces, std::move(*question),
                [this, module, resource, number = watch.asked](const std::optional<Conflict>& found) {
                  note_conflict(module, resource, number, found);
                });
}

/// Another node of the cluster that has the address as well is no machine to give way to: which of them goes on is decided by the data
/// (a split brain), or it has stopped working and its kernel still answers.
void CheckerController::note_conflict(const std::string& module, const std::string& resource, std::uint64_t number,
                                      const std::optional<Conflict>& found) {
  Live& live = modules_[module];
  const auto watch = live.addresses.find(resource);
  if (watch == live.addresses.end() || watch->second.asked != number) return;
  watch->second.asked = 0;
  if (watch->second.found == found) return;
  watch->second.found = found;
  if (found) {
    const std::string whose = found->node.empty() ? fmt::format("in use by the machine with MAC address {}", to_string(found->mac))
                                                  : fmt::format("set on node '{}'", found->node.str());
    ports_.store.record(ModuleName{module}, "ipcheck", 'E', fmt::format("The address of {} is also {}", resource, whose));
  }
  live.observed.interfaces_changed = true;
  wake_(engine::Request{module});
}

void CheckerController::publish(const ModuleName& name, const Live& live, const Plan& plan) {
  for (const Line& line : plan.lines) ports_.store.record(name, line.component, line.level, line.text);
  const status::Module& seen = ports_.store.status(name);
  // Even an update that changes nothing costs a look at the whole status.
  if (plan.changed.empty() && !plan.is_all && !plan.awaited_changed && seen.checker.watched == seen.role.watched) return;
  const WallTime now = ports_.clock.wall_now();
  ports_.store.update_status(name, [&](status::Module& m) {
    m.checker.watched = m.role.watched;
    m.checker.awaited = live.memory.awaited;
    m.checker.programs = live.memory.programs;
    for (const std::string& resource : plan.gone) m.resources.erase(resource);
    for (const auto& [resource, value] : plan.changed) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value == value) continue;
      old = {.value = value, .assigned = now, .source = resource.substr(0, resource.find('.')) + "check"};
    }
  });
}

}  // namespace safekit::checker
