#include "controllers/errd/plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::errd {
namespace {

std::string resource_of(const Target& target) { return "proc." + target.name; }

std::string trouble(const Target& target, int count) {
  if (!target.unit.empty()) return fmt::format("Service {} not running", target.name);
  if (count == 0 || target.at_most < 0 || count <= target.at_most) {
    if (target.at_least <= 1) return fmt::format("Process {} not running", target.name);
    return fmt::format("Process {} not running ({} of at least {})", target.name, count, target.at_least);
  }
  return fmt::format("Process {} running too often ({}, at most {})", target.name, count, target.at_most);
}

bool is_bad(const Target& target, int count) {
  return (target.at_least >= 0 && count < target.at_least) || (target.at_most >= 0 && count > target.at_most);
}

MonoTime first_look(const Target& target, const Desired& desired, const Memory& memory) {
  const auto polls = target.start_after > 1 ? static_cast<std::int64_t>(target.start_after) - 1 : 0;
  return memory.enabled.at(target.watch_class) + desired.poll * polls;
}

void sooner(std::optional<Duration>& recheck, Duration after) {
  if (!recheck || after < *recheck) recheck = std::max(after, Duration{0});
}

Verdict verdict_of(const Memory& memory, const Target& target) {
  const auto known = memory.verdicts.find(target.key);
  return known == memory.verdicts.end() ? Verdict::Unknown : known->second;
}

const HandlerRun* running_handler(const Memory& memory, const Target& target) {
  const auto found = memory.handlers.find(target.key);
  return found == memory.handlers.end() || found->second.ended ? nullptr : &found->second;
}

/// A handler has just ended: what it started may not have its name yet.
bool is_settling(const Memory& memory, const Target& target, MonoTime now) {
  const auto found = memory.handlers.find(target.key);
  return found != memory.handlers.end() && found->second.ended && now < *found->second.ended + kSettle;
}

/// When something may be done again about a target that is bad.
MonoTime next_try(const Target& target, const Desired& desired, const Memory& memory, MonoTime now) {
  if (!target.handler.empty()) {
    const auto last = memory.handlers.find(target.key);
    // It was handled, says the handler: the poll finds out whether that was so.
    return last == memory.handlers.end() || !last->second.ended ? now : *last->second.ended + desired.poll;
  }
  return memory.requested ? *memory.requested + kRepeat : now;
}

/// Whether the table has to be read for this target now.
bool is_due(const Target& target, const Desired& desired, const Memory& memory, MonoTime now) {
  switch (verdict_of(memory, target)) {
    case Verdict::Unknown: return now >= first_look(target, desired, memory);
    case Verdict::Bad:
      if (target.action == "noaction" || running_handler(memory, target) != nullptr) return false;
      return now >= next_try(target, desired, memory, now) || is_settling(memory, target, now);
    case Verdict::Good: return false;
  }
  return false;
}

/// One pass: what it is given, and the plan it fills.
struct Pass {
  const Desired& desired;
  const Observed& observed;
  MonoTime now{};
  std::uint64_t request_floor{0};
  Plan plan{};

  void hear_handlers();
  void look_at(const Target& target);
  void judge(const Target& target, const Found& found);
  void act(const Target& target);
  void request(const Target& target, const std::string& action);
  void show(const Target& target);
};

/// A handler that has ended well is not asked about; one that has not is followed by a restart of the module.
void Pass::hear_handlers() {
  for (const Target& target : desired.targets) {
    const auto handler = plan.memory.handlers.find(target.key);
    if (handler == plan.memory.handlers.end() || handler->second.ended) continue;
    const auto run = observed.runs.find(handler_key(target));
    if (run == observed.runs.end() || run->second.count != handler->second.run) continue;
    handler->second.ended = now;
    if (run->second.fine) continue;
    plan.lines.push_back({'E', fmt::format("The handler {} of {} failed", target.handler, target.name)});
    if (plan.memory.enabled.contains(target.watch_class)) request(target, "stopstart");
  }
}

void Pass::look_at(const Target& target) {
  Memory& memory = plan.memory;
  if (!memory.enabled.contains(target.watch_class)) return;
  const MonoTime look = first_look(target, desired, memory);
  if (now < look) return sooner(plan.recheck_after, look - now);
  const auto seen = observed.found.find(target.key);
  if (observed.looked && seen != observed.found.end()) judge(target, seen->second);
}

void Pass::judge(const Target& target, const Found& found) {
  Verdict& verdict = plan.memory.verdicts[target.key];
  const bool bad = is_bad(target, found.count);
  if (bad && verdict == Verdict::Unknown && now < first_look(target, desired, plan.memory) + kSettle) {
    return sooner(plan.recheck_after, kSettleStep);
  }
  if (bad && verdict != Verdict::Bad) {
    plan.lines.push_back({'E', trouble(target, found.count)});
    plan.lines.push_back({'E', fmt::format("Resource {} set to down by errd", resource_of(target))});
  } else if (!bad && verdict == Verdict::Bad) {
    plan.lines.push_back({'I', fmt::format("Resource {} set to up by errd", resource_of(target))});
  }
  verdict = bad ? Verdict::Bad : Verdict::Good;
  if (bad) return act(target);
  if (running_handler(plan.memory, target) == nullptr) plan.memory.handlers.erase(target.key);
}

void Pass::act(const Target& target) {
  Memory& memory = plan.memory;
  if (target.action == "noaction" || running_handler(memory, target) != nullptr) return;
  if (now >= next_try(target, desired, memory, now)) {
    if (target.handler.empty()) {
      request(target, target.action);
    } else {
      plan.lines.push_back({'C', fmt::format("Action {} called by errd", target.handler)});
      memory.handlers[target.key] = {.run = ++memory.handler_runs};
      return;
    }
  }
  sooner(plan.recheck_after, is_settling(memory, target, now) ? kSettleStep : next_try(target, desired, memory, now) - now);
}

void Pass::request(const Target& target, const std::string& action) {
  Memory& memory = plan.memory;
  memory.requested = now;
  memory.last_request = std::max(memory.last_request + 1, request_floor);
  memory.request = status::ActionRequest{.id = memory.last_request,
                                         .action = action,
                                         .by = "errd",
                                         .from_rule = false,
                                         .services = action == "restart" ? target.restart_services : std::vector<std::string>{}};
}

/// Of several targets with one name the worst.
void Pass::show(const Target& target) {
  std::string& resource = plan.resources[resource_of(target)];
  const bool watched = plan.memory.enabled.contains(target.watch_class);
  const Verdict verdict = watched ? verdict_of(plan.memory, target) : Verdict::Unknown;
  const std::string value = verdict == Verdict::Bad ? "down" : verdict == Verdict::Good ? "up" : "init";
  const bool is_worse = value == "down" || (value == "init" && resource != "down");
  if (resource.empty() || is_worse) resource = value;
  if (const HandlerRun* handler = running_handler(plan.memory, target)) {
    plan.handlers[handler_key(target)] = {.exec = target.handler, .once = handler->run};
  }
}

/// Classes that are no longer watched take what was known with them.
void take_up(const Desired& desired, Memory& memory) {
  const std::size_t before = memory.enabled.size();
  std::erase_if(memory.enabled, [&](const auto& entry) { return !desired.watched.contains(entry.first); });
  if (memory.enabled.size() < before) {  // it was for what is no longer watched
    memory.request.reset();
    memory.requested.reset();
  }
  const auto target_of = [&](const std::string& key) {
    const auto found = std::ranges::find(desired.targets, key, &Target::key);
    return found == desired.targets.end() ? nullptr : &*found;
  };
  std::erase_if(memory.verdicts, [&](const auto& verdict) {
    const Target* target = target_of(verdict.first);
    return target == nullptr || !memory.enabled.contains(target->watch_class);
  });
  // A handler that runs may disable its own class meanwhile.
  std::erase_if(memory.handlers, [&](const auto& handler) {
    const Target* target = target_of(handler.first);
    if (target == nullptr || target->handler.empty() || !desired.is_started) return true;
    return handler.second.ended.has_value() && !memory.enabled.contains(target->watch_class);
  });
}

}  // namespace

std::string handler_key(const Target& target) { return "proc." + target.key; }

Preparation prepare(const Desired& desired, const Memory& before, const News& news, MonoTime now) {
  Preparation result{.memory = before};
  Memory& memory = result.memory;
  take_up(desired, memory);
  for (const std::string& watch_class : desired.watched) {
    if (memory.enabled.emplace(watch_class, now).second) result.scan = true;
  }
  memory.lost = memory.lost || news.lost;
  bool any = false;
  bool any_process = false;
  for (const Target& target : desired.targets) {
    if (!memory.enabled.contains(target.watch_class)) continue;
    any = true;
    any_process = any_process || target.unit.empty();
    if (!is_due(target, desired, memory, now)) continue;
    result.look = true;
    result.scan = result.scan || target.unit.empty();
  }
  result.scan = result.scan || news.ended || !memory.scanned || now >= *memory.scanned + desired.poll ||
                (memory.lost && now >= *memory.scanned + kLostGap);
  result.look = any && (result.look || result.scan || news.changed);
  result.scan = result.scan && any_process;
  if (!any_process) {
    memory.scanned.reset();
    memory.lost = false;
  }
  return result;
}

Plan decide(const Desired& desired, const Observed& observed, const Memory& before, MonoTime now, std::uint64_t request_floor) {
  Pass pass{.desired = desired, .observed = observed, .now = now, .request_floor = request_floor, .plan = {.memory = before}};
  Memory& memory = pass.plan.memory;
  if (observed.scanned) {
    memory.scanned = now;
    memory.lost = false;
  }
  pass.hear_handlers();
  for (const Target& target : desired.targets) {
    pass.look_at(target);
    pass.show(target);
  }
  if (memory.scanned) sooner(pass.plan.recheck_after, *memory.scanned + (memory.lost ? kLostGap : desired.poll) - now);
  return std::move(pass.plan);
}

}  // namespace safekit::errd
