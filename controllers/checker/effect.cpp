#include "controllers/checker/effect.h"

#include <algorithm>
#include <array>

namespace safekit::checker {
namespace {

bool is_ours(std::string_view resource) {
  return std::ranges::any_of(std::array{Kind::Tcp, Kind::Ping, Kind::Ip}, [&](Kind kind) {
    return resource.substr(0, resource.find('.')) == class_of(kind);
  });
}

}  // namespace

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
  const Observed observed = std::exchange(live.observed, {});
  Plan plan = decide(live.desired, observed, std::move(live.memory), ports_.clock.mono_now());
  live.memory = std::move(plan.memory);
  publish(name, live, plan);
  ask(request.name, plan.asks);
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

void CheckerController::load(const ModuleName& name, Live& live) {
  const auto spec = ports_.store.module(name);
  if (spec == live.spec) return;
  live.spec = spec;
  live.desired.checks = spec == nullptr ? Checks{} : checks_of(*spec);
  ++live.desired.version;
}

void CheckerController::ask(const std::string& module, const std::vector<Ask>& asks) {
  bool local = false;
  for (const Ask& question : asks) {
    const Check& check = question.check;
    if (is_local(check.kind)) {
      local = true;
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
  look_at_interfaces(asks, modules_[module]);
  wake_(engine::Request{module});
}

/// One look answers all that is asked of the interfaces.
void CheckerController::look_at_interfaces(const std::vector<Ask>& asks, Live& live) {
  const auto interfaces = ports_.interfaces.list();
  std::set<IpAddress> set;
  for (const Interface& interface : interfaces ? *interfaces : std::vector<Interface>{}) {
    for (const InterfaceAddress& address : interface.addresses) set.insert(address.ip);
  }
  for (const Ask& question : asks) {
    if (!is_local(question.check.kind)) continue;
    const std::string resource = resource_of(question.check);
    const auto ip = parse_ip(question.check.address);  // as written it may differ from how the kernel prints it
    const auto fine = interfaces ? std::optional{ip && set.contains(*ip)} : std::nullopt;
    live.observed.answers[resource] = {question.number, fine};
  }
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
    if (plan.is_all) {
      std::erase_if(m.resources, [&](const auto& resource) {
        return is_ours(resource.first) && !plan.changed.contains(resource.first);
      });
    }
    for (const auto& [resource, value] : plan.changed) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value == value) continue;
      old = {.value = value, .assigned = now, .source = resource.substr(0, resource.find('.')) + "check"};
    }
  });
}

}  // namespace safekit::checker
