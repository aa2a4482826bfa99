#include "controllers/checker/plan.h"

#include <algorithm>

#include <fmt/format.h>

#include "schema/spec/defaults.h"

namespace safekit::checker {
namespace {

status::WatchClass class_of(spec::When when) {
  switch (when) {
    case spec::When::Pre: return status::WatchClass::Pre;
    case spec::When::Prim: return status::WatchClass::Prim;
    case spec::When::Both: return status::WatchClass::Both;
    case spec::When::Second: return status::WatchClass::Second;
  }
  return status::WatchClass::Prim;
}

const char* value_text(Value value) {
  switch (value) {
    case Value::Init: return "init";
    case Value::Up: return "up";
    case Value::Down: return "down";
  }
  return "init";
}

void sooner(std::optional<Duration>& recheck, MonoTime at, MonoTime now) {
  const Duration after = at > now ? at - now : Duration{0};
  if (!recheck || after < *recheck) recheck = after;
}

void judge(const Check& check, bool fine, MonoTime now, State& state, Plan& plan) {
  state.asked = 0;
  const bool starting = check.watch_class != status::WatchClass::Pre && state.value == Value::Init &&
                        now < state.enabled + check.interval;
  if (!fine && starting) {
    state.due = now + std::min(kStartingStep, check.interval);
    return;
  }
  state.due = now + check.interval;
  const Value value = fine ? Value::Up : Value::Down;
  if (value == state.value) return;
  state.value = value;
  const std::string component = fmt::format("{}check", class_of(check.kind));
  plan.lines.push_back(
      {fine ? 'I' : 'E', component,
       fmt::format("Resource {} set to {} by {}", resource_of(check), value_text(value), component)});
}

void look(const Check& check, const Observed& observed, MonoTime now, State& state, Plan& plan) {
  const std::string resource = resource_of(check);
  if (check.kind == Kind::Ip) {
    const bool fine = observed.local_addresses.contains(check.address);
    // A removed address is told at once by the vip controller's section, so that it needs no waiting for the
    // interval.
    const bool lost = state.value == Value::Up && !fine;
    if (observed.addresses_known && (now >= state.due || lost)) judge(check, fine, now, state, plan);
    return;
  }
  const auto answer = observed.answers.find(resource);
  if (answer != observed.answers.end() && state.asked != 0 && answer->second.first == state.asked) {
    judge(check, answer->second.second, now, state, plan);
  }
  if (state.asked != 0 || now < state.due) return;
  state.asked = ++plan.memory.probes;
  plan.asks.push_back({state.asked, check});
}

}  // namespace

std::vector<Check> checks_of(const spec::Module& module) {
  std::vector<Check> checks;
  for (const spec::TcpChecker& tcp : module.checkers.tcp) {
    checks.push_back({.kind = Kind::Tcp,
                      .ident = tcp.ident,
                      .address = tcp.address,
                      .port = tcp.port,
                      .interval = tcp.interval,
                      .timeout = tcp.timeout,
                      .watch_class = class_of(spec::when_of(module, tcp))});
  }
  for (const spec::PingChecker& ping : module.checkers.ping) {
    checks.push_back({.kind = Kind::Ping,
                      .ident = ping.ident,
                      .address = ping.address,
                      .port = 0,
                      .interval = ping.interval,
                      .timeout = ping.timeout,
                      .watch_class = class_of(ping.when)});
  }
  std::vector<spec::IpChecker> ips = module.checkers.ip;
  // The address of a farm is its own controller's matter; nobody sets it here yet.
  if (module.mode == spec::Mode::Mirror) {
    for (const spec::IpChecker& made : spec::generated_ip_checkers(module)) ips.push_back(made);
  }
  for (const spec::IpChecker& ip : ips) {
    checks.push_back({.kind = Kind::Ip,
                      .ident = ip.ident,
                      .address = ip.address,
                      .port = 0,
                      .interval = ip.interval,
                      .timeout = {},
                      .watch_class = class_of(spec::when_of(module, ip))});
  }
  return checks;
}

std::string_view class_of(Kind kind) {
  switch (kind) {
    case Kind::Tcp: return "tcp";
    case Kind::Ping: return "ping";
    case Kind::Ip: return "ip";
  }
  return "";
}

std::string resource_of(const Check& check) { return fmt::format("{}.{}", class_of(check.kind), check.ident); }

Plan decide(const Desired& desired, const Observed& observed, const Memory& before, MonoTime now) {
  Plan plan;
  plan.memory = before;
  std::map<std::string, State> states;
  for (const Check& check : desired.checks) {
    const std::string resource = resource_of(check);
    if (!desired.watched.contains(check.watch_class)) {
      plan.resources[resource] = value_text(Value::Init);
      continue;
    }
    const auto known = before.states.find(resource);
    State state = known == before.states.end() ? State{.value = Value::Init, .enabled = now, .due = now}
                                               : known->second;
    look(check, observed, now, state, plan);
    if (state.asked == 0) sooner(plan.recheck_after, state.due, now);
    plan.resources[resource] = value_text(state.value);
    if (state.value == Value::Init) plan.awaited.insert(resource);
    states.emplace(resource, state);
  }
  plan.memory.states = std::move(states);
  return plan;
}

}  // namespace safekit::checker
