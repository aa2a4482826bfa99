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

/// One pass: what it is given, and the plan it fills.
struct Pass {
  const Desired& desired;
  const Observed& observed;
  MonoTime now{};
  Plan plan{};

  void take_up();
  void judge(const std::string& resource, const Check& check, State& state, bool fine);
  void hear();
  void look_at_interfaces_again();
  void ask();

  void queue(const std::string& resource, State& state, MonoTime due) {
    state.due = due;
    plan.memory.queue.emplace(due, resource);
  }
};

/// Other checks or other classes: what goes on keeps its state.
void Pass::take_up() {
  Memory& memory = plan.memory;
  if (memory.version == desired.version && memory.watched == desired.watched) return;
  plan.is_all = true;
  std::map<std::string, State> states;
  memory.queue.clear();
  memory.awaited.clear();
  for (const auto& [resource, check] : desired.checks) {
    plan.changed[resource] = value_text(Value::Init);
    if (!desired.watched.contains(check.watch_class)) continue;
    const auto known = memory.states.find(resource);
    State& state = states[resource];
    state = known == memory.states.end() ? State{.value = Value::Init, .enabled = now, .due = now} : known->second;
    plan.changed[resource] = value_text(state.value);
    if (state.value == Value::Init) memory.awaited.insert(resource);
    if (state.asked == 0) queue(resource, state, std::min(state.due, now + check.interval));
  }
  memory.states = std::move(states);
  memory.version = desired.version;
  memory.watched = desired.watched;
}

void Pass::judge(const std::string& resource, const Check& check, State& state, bool fine) {
  state.asked = 0;
  const bool starting = check.watch_class != status::WatchClass::Pre && state.value == Value::Init &&
                        now < state.enabled + check.interval;
  if (!fine && starting) return queue(resource, state, now + std::min(kStartingStep, check.interval));
  queue(resource, state, now + check.interval);
  const Value value = fine ? Value::Up : Value::Down;
  if (value == state.value) return;
  state.value = value;
  plan.memory.awaited.erase(resource);
  plan.changed[resource] = value_text(value);
  const std::string component = fmt::format("{}check", class_of(check.kind));
  plan.lines.push_back({fine ? 'I' : 'E', component,
                        fmt::format("Resource {} set to {} by {}", resource, value_text(value), component)});
}

void Pass::hear() {
  for (const auto& [resource, answer] : observed.answers) {
    const auto state = plan.memory.states.find(resource);
    if (state == plan.memory.states.end() || state->second.asked == 0 || state->second.asked != answer.first) continue;
    const Check& check = desired.checks.at(resource);
    if (answer.second) {
      judge(resource, check, state->second, *answer.second);
    } else {
      state->second.asked = 0;
      queue(resource, state->second, now + std::min(kStartingStep, check.interval));
    }
  }
}

void Pass::look_at_interfaces_again() {
  if (!observed.interfaces_changed) return;
  for (auto& [resource, state] : plan.memory.states) {
    if (!is_local(desired.checks.at(resource).kind) || state.asked != 0) continue;
    plan.memory.queue.erase({state.due, resource});
    queue(resource, state, now);
  }
}

void Pass::ask() {
  Memory& memory = plan.memory;
  while (!memory.queue.empty() && memory.queue.begin()->first <= now && plan.asks.size() < kAsksMax) {
    const std::string resource = memory.queue.begin()->second;
    memory.queue.erase(memory.queue.begin());
    memory.states.at(resource).asked = ++memory.probes;
    plan.asks.push_back({memory.probes, desired.checks.at(resource)});
  }
  if (memory.queue.empty()) return;
  const MonoTime due = memory.queue.begin()->first;
  plan.recheck_after = due > now ? due - now : kAskGap;
}

}  // namespace

Checks checks_of(const spec::Module& module) {
  Checks checks;
  // Of two with one name, which validation refuses, the first.
  const auto add = [&checks](Check&& check) {
    std::string resource = resource_of(check);
    checks.emplace(std::move(resource), std::move(check));
  };
  for (const spec::TcpChecker& tcp : module.checkers.tcp) {
    add({.kind = Kind::Tcp,
         .ident = tcp.ident,
         .address = tcp.address,
         .port = tcp.port,
         .interval = tcp.interval,
         .timeout = tcp.timeout,
         .watch_class = class_of(spec::when_of(module, tcp))});
  }
  for (const spec::PingChecker& ping : module.checkers.ping) {
    add({.kind = Kind::Ping,
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
    add({.kind = Kind::Ip,
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

bool is_local(Kind kind) { return kind == Kind::Ip; }

Plan decide(const Desired& desired, const Observed& observed, Memory memory, MonoTime now) {
  Pass pass{.desired = desired, .observed = observed, .now = now};
  const std::set<std::string> awaited = memory.awaited;
  pass.plan.memory = std::move(memory);
  pass.take_up();
  pass.hear();
  pass.look_at_interfaces_again();
  pass.ask();
  pass.plan.awaited_changed = pass.plan.memory.awaited != awaited;
  return std::move(pass.plan);
}

}  // namespace safekit::checker
