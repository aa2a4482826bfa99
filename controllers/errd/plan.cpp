#include "controllers/errd/plan.h"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include "schema/spec/defaults.h"

namespace safekit::errd {
namespace {

constexpr std::size_t kCommandBytes = 15;  // TASK_COMM_LEN - 1

std::optional<status::WatchClass> parse_class(const std::string& text) {
  if (text == "pre") return status::WatchClass::Pre;
  if (text == "prim") return status::WatchClass::Prim;
  if (text == "both") return status::WatchClass::Both;
  if (text == "second") return status::WatchClass::Second;
  if (text == "sec") return status::WatchClass::Sec;
  return std::nullopt;  // a class of the author's own, driven by `safekit errd enable`
}

Result<Target> target_of(const spec::Module& module, const spec::Process& process,
                         status::WatchClass watch_class) {
  Target target;
  target.name = process.name;
  target.watch_class = watch_class;
  target.action = process.action;
  target.at_least = process.at_least;
  target.at_most = process.at_most;
  target.start_after = process.start_after;
  if (process.service) {
    return Error{Code::Unsupported,
                 fmt::format("module '{}': service '{}' is not watched; watch its process by name",
                             module.metadata.name, process.name)};
  }
  if (process.name_regex.empty()) {
    target.command = process.name.substr(0, kCommandBytes);
  } else {
    SK_TRY(target.name_pattern, Pattern::compile(process.name_regex));
  }
  if (!process.arg_regex.empty()) {
    SK_TRY(target.argument_pattern, Pattern::compile(process.arg_regex));
  }
  return target;
}

std::string trouble(const Target& target, int count) {
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
  if (!recheck || after < *recheck) recheck = after;
}

bool may_request(const Memory& memory, MonoTime now) {
  return !memory.requested || now >= *memory.requested + kRepeat;
}

void request_action(const Target& target, MonoTime now, std::uint64_t floor, Memory& memory) {
  if (!may_request(memory, now)) return;
  memory.requested = now;
  memory.last_request = std::max(memory.last_request + 1, floor);
  // A handler of the author's own belongs to a class of his own; where it fails or cannot be, the module is
  // restarted.
  const bool known = target.action == "restart" || target.action == "stop";
  memory.request = status::ActionRequest{.id = memory.last_request,
                                         .action = known ? target.action : "stopstart",
                                         .by = "errd",
                                         .from_rule = false};
}

}  // namespace

Targets targets_of(const spec::Module& module) {
  Targets targets;
  if (!module.errd) return targets;
  for (const spec::Process& process : module.errd->processes) {
    const auto watch_class = parse_class(spec::class_of(module, process));
    if (!watch_class) continue;
    auto target = target_of(module, process, *watch_class);
    if (target)
      targets.list.push_back(std::move(*target));
    else if (targets.problem.empty())
      targets.problem = target.error().what;
  }
  return targets;
}

bool matches(const Target& target, const ProcessInfo& process) {
  if (!target.command.empty() && process.command != target.command) return false;
  if (target.name_pattern && !target.name_pattern->matches(process.command)) return false;
  return !target.argument_pattern || target.argument_pattern->matches(process.arguments);
}

Found find(const Target& target, const std::vector<ProcessInfo>& processes) {
  Found found;
  std::vector<const ProcessInfo*> all;
  std::unordered_set<std::int32_t> pids;
  for (const ProcessInfo& process : processes) {
    if (!matches(target, process)) continue;
    all.push_back(&process);
    pids.insert(process.identity.pid);
  }
  found.count = static_cast<int>(all.size());
  if (target.at_least < 1) return found;
  for (const ProcessInfo* process : all) {
    if (!pids.contains(process->parent)) found.watch.push_back(process->identity);
  }
  if (found.watch.size() < static_cast<std::size_t>(target.at_least)) {
    found.watch.clear();
    for (const ProcessInfo* process : all) found.watch.push_back(process->identity);
  }
  if (found.watch.size() > kWatchMax) found.watch.resize(kWatchMax);
  return found;
}

Preparation prepare(const Desired& desired, const Memory& before, bool something_ended, MonoTime now) {
  Preparation result;
  Memory& memory = result.memory;
  memory = before;
  std::erase_if(memory.enabled, [&](const auto& entry) { return !desired.watched.contains(entry.first); });
  if (memory.enabled.size() < before.enabled.size()) {  // it was for what is no longer watched
    memory.request.reset();
    memory.requested.reset();
  }
  for (const status::WatchClass watch_class : desired.watched) {
    if (memory.enabled.emplace(watch_class, now).second) result.scan = true;
  }
  const auto is_enabled = [&](const std::string& name) {
    return std::ranges::any_of(desired.targets, [&](const Target& target) {
      return target.name == name && memory.enabled.contains(target.watch_class);
    });
  };
  std::erase_if(memory.verdicts, [&](const auto& verdict) { return !is_enabled(verdict.first); });
  bool any = false;
  for (const Target& target : desired.targets) {
    if (!memory.enabled.contains(target.watch_class)) continue;
    any = true;
    // Not known yet, but due: right after the start, or at the end of its grace.
    const auto known = memory.verdicts.find(target.name);
    const bool unknown = known == memory.verdicts.end() || known->second == Verdict::Unknown;
    result.scan = result.scan || (unknown && now >= first_look(target, desired, memory));
    const bool bad = !unknown && known->second == Verdict::Bad && target.action != "noaction";
    result.scan = result.scan || (bad && may_request(memory, now));
  }
  result.scan = result.scan || something_ended || !memory.scanned || now >= *memory.scanned + desired.poll;
  result.scan = result.scan && any;
  if (!any) memory.scanned.reset();
  return result;
}

Plan decide(const Desired& desired, const std::map<std::string, Found>& found, bool scanned,
            const Memory& before, MonoTime now, std::uint64_t request_floor) {
  Plan plan;
  plan.memory = before;
  Memory& memory = plan.memory;
  if (scanned) memory.scanned = now;
  for (const Target& target : desired.targets) {
    std::string& resource = plan.resources["proc." + target.name];
    resource = "init";
    if (!memory.enabled.contains(target.watch_class)) continue;
    Verdict& verdict = memory.verdicts[target.name];
    const MonoTime look = first_look(target, desired, memory);
    if (now < look) {
      sooner(plan.recheck_after, look - now);
      continue;
    }
    const auto seen = found.find(target.name);
    if (scanned && seen != found.end()) {
      const bool bad = is_bad(target, seen->second.count);
      const bool settling = verdict == Verdict::Unknown && now < look + kSettle;
      if (bad && settling) {
        sooner(plan.recheck_after, kSettleStep);
        continue;
      }
      const Verdict judged = bad ? Verdict::Bad : Verdict::Good;
      if (judged != verdict && bad) {
        plan.lines.push_back({'E', trouble(target, seen->second.count)});
        plan.lines.push_back({'E', fmt::format("Resource proc.{} set to down by errd", target.name)});
      } else if (verdict == Verdict::Bad && !bad) {
        plan.lines.push_back({'I', fmt::format("Resource proc.{} set to up by errd", target.name)});
      }
      verdict = judged;
      if (bad && target.action != "noaction") {
        request_action(target, now, request_floor, memory);
        sooner(plan.recheck_after, *memory.requested + kRepeat - now);
      }
    }
    if (verdict != Verdict::Unknown) resource = verdict == Verdict::Good ? "up" : "down";
  }
  if (memory.scanned) {
    const MonoTime next = *memory.scanned + desired.poll;
    sooner(plan.recheck_after, next > now ? next - now : Duration{0});
  }
  return plan;
}

}  // namespace safekit::errd
