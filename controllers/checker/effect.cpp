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
  Desired desired;
  if (status.settings.checker) desired.watched = status.role.watched;
  desired.checks = live.checks;
  const Observed observed = observe(live, desired);
  const Plan plan = decide(desired, observed, live.memory, ports_.clock.mono_now());
  live.memory = plan.memory;
  publish(name, plan);
  for (const Ask& question : plan.asks) ask(request.name, question);
  return engine::Outcome{.requeue_after = plan.recheck_after};
}

void CheckerController::load(const ModuleName& name, Live& live) {
  const auto spec = ports_.store.module(name);
  if (spec == live.spec) return;
  live.spec = spec;
  live.checks = spec == nullptr ? std::vector<Check>{} : checks_of(*spec);
}

Observed CheckerController::observe(Live& live, const Desired& desired) {
  Observed observed;
  observed.answers = std::move(live.answers);
  live.answers.clear();
  const bool addresses = std::ranges::any_of(desired.checks, [&](const Check& check) {
    return check.kind == Kind::Ip && desired.watched.contains(check.watch_class);
  });
  if (!addresses) return observed;
  const auto interfaces = ports_.interfaces.list();
  if (!interfaces) return observed;  // no verdict without a look; the next pass has one
  observed.addresses_known = true;
  std::set<IpAddress> set;
  for (const Interface& interface : *interfaces) {
    for (const InterfaceAddress& address : interface.addresses) set.insert(address.ip);
  }
  for (const Check& check : desired.checks) {
    if (check.kind != Kind::Ip) continue;
    const auto ip = parse_ip(check.address);  // as written it may differ from how the kernel prints it
    if (ip && set.contains(*ip)) observed.local_addresses.insert(check.address);
  }
  return observed;
}

void CheckerController::ask(const std::string& module, const Ask& question) {
  const Check& check = question.check;
  auto told = [this, module, resource = resource_of(check), number = question.number](const Status& status) {
    modules_[module].answers[resource] = {number, status.has_value()};
    wake_(engine::Request{module});
  };
  if (check.kind == Kind::Ping) {
    ports_.echo.echo(check.address, check.timeout, std::move(told));
  } else {
    ports_.tcp.connect(check.address, check.port, check.timeout, std::move(told));
  }
}

void CheckerController::publish(const ModuleName& name, const Plan& plan) {
  for (const Line& line : plan.lines) ports_.store.record(name, line.component, line.level, line.text);
  const WallTime now = ports_.clock.wall_now();
  ports_.store.update_status(name, [&](status::Module& m) {
    m.checker.watched = m.role.watched;
    m.checker.awaited = plan.awaited;
    std::erase_if(m.resources, [&](const auto& resource) {
      return is_ours(resource.first) && !plan.resources.contains(resource.first);
    });
    for (const auto& [resource, value] : plan.resources) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value == value) continue;
      old = {.value = value, .assigned = now, .source = resource.substr(0, resource.find('.')) + "check"};
    }
  });
}

}  // namespace safekit::checker
