#include "controllers/checker/plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::checker {
namespace {

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
  void assign(const std::string& resource, const std::string& component, State& state, bool fine);
  void compare_instance(const std::string& resource, State& state, bool fine);
  void hear();
  void hear_programs();
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
  std::map<std::string, status::CheckerProgram> programs;
  memory.queue.clear();
  memory.awaited.clear();
  for (const auto& [resource, check] : desired.checks) {
    const bool is_watched = desired.watched.contains(check.watch_class);
    const auto known = memory.states.find(resource);
    const bool goes_on = is_watched && known != memory.states.end();
    const State state = goes_on ? known->second : State{.value = Value::Init, .enabled = now, .due = now};
    // What a program has set stays with its resource.
    if (!goes_on || check.kind != Kind::Custom) plan.changed[resource] = value_text(state.value);
    if (!is_watched) continue;
    State& kept = states[resource] = state;
    if (check.kind == Kind::Custom) {
      programs[resource] = check.program;
      const auto run = observed.runs.find(resource);
      if (!goes_on) memory.runs[resource] = run == observed.runs.end() ? 0 : run->second.count;
      continue;
    }
    if (kept.value == Value::Init) memory.awaited.insert(resource);
    if (kept.asked == 0) queue(resource, kept, std::min(kept.due, now + check.interval));
  }
  for (const std::string& resource : memory.resources) {
    if (!desired.checks.contains(resource)) plan.gone.push_back(resource);
  }
  memory.resources.clear();
  for (const auto& [resource, check] : desired.checks) memory.resources.insert(resource);
  std::erase_if(memory.runs, [&](const auto& run) { return !programs.contains(run.first); });
  memory.programs = std::move(programs);
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
  assign(resource, fmt::format("{}check", class_of(check.kind)), state, fine);
}

void Pass::assign(const std::string& resource, const std::string& component, State& state, bool fine) {
  const Value value = fine ? Value::Up : Value::Down;
  if (value == state.value) return;
  state.value = value;
  plan.memory.awaited.erase(resource);
  plan.changed[resource] = value_text(value);
  plan.lines.push_back({fine ? 'I' : 'E', component,
                        fmt::format("Resource {} set to {} by {}", resource, value_text(value), component)});
}

/// While it was down this module waited, and starts anew by that.
void Pass::compare_instance(const std::string& resource, State& state, bool fine) {
  const auto found = observed.instances.find(resource);
  const std::string now_runs = fine && found != observed.instances.end() ? found->second : std::string{};
  plan.stopstart = plan.stopstart || (!now_runs.empty() && !state.instance.empty() && now_runs != state.instance);
  state.instance = now_runs;
}

void Pass::hear() {
  for (const auto& [resource, answer] : observed.answers) {
    const auto state = plan.memory.states.find(resource);
    if (state == plan.memory.states.end() || state->second.asked == 0 || state->second.asked != answer.first) continue;
    const Check& check = desired.checks.at(resource);
    if (answer.second) {
      judge(resource, check, state->second, *answer.second);
      compare_instance(resource, state->second, *answer.second);
    } else {
      state->second.asked = 0;
      queue(resource, state->second, now + std::min(kStartingStep, check.interval));
    }
  }
}

void Pass::hear_programs() {
  Memory& memory = plan.memory;
  for (const auto& [resource, program] : memory.programs) {
    const auto run = observed.runs.find(resource);
    std::uint64_t& judged = memory.runs.at(resource);
    if (program.interval && run != observed.runs.end() && run->second.count != judged) {
      judged = run->second.count;
      assign(resource, program.exec.substr(program.exec.rfind('/') + 1), memory.states.at(resource), run->second.fine);
    }
    const auto set = observed.set.find(resource);
    const bool is_init = !plan.changed.contains(resource) ? set == observed.set.end() || set->second == "init"
                                                           : plan.changed.at(resource) == "init";
    if (is_init)
      memory.awaited.insert(resource);
    else
      memory.awaited.erase(resource);
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

std::string_view class_of(Kind kind) {
  switch (kind) {
    case Kind::Tcp: return "tcp";
    case Kind::Ping: return "ping";
    case Kind::Ip: return "ip";
    case Kind::Intf: return "intf";
    case Kind::Custom: return "custom";
    case Kind::SplitBrain: return "splitbrain";
    case Kind::Module: return "module";
  }
  return "";
}

std::string resource_of(const Check& check) { return fmt::format("{}.{}", class_of(check.kind), check.ident); }

bool is_local(Kind kind) { return kind == Kind::Ip || kind == Kind::Intf; }

Plan decide(const Desired& desired, const Observed& observed, Memory memory, MonoTime now) {
  Pass pass{.desired = desired, .observed = observed, .now = now};
  const std::set<std::string> awaited = memory.awaited;
  pass.plan.memory = std::move(memory);
  pass.take_up();
  pass.hear();
  pass.hear_programs();
  pass.look_at_interfaces_again();
  pass.ask();
  pass.plan.awaited_changed = pass.plan.memory.awaited != awaited;
  return std::move(pass.plan);
}

}  // namespace safekit::checker
