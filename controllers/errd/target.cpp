#include "controllers/errd/target.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include <fmt/format.h>

#include "schema/spec/defaults.h"

namespace safekit::errd {
namespace {

constexpr std::size_t kCommandBytes = 15;  // TASK_COMM_LEN - 1
constexpr std::array<std::string_view, 5> kRoleClasses{"pre", "prim", "both", "second", "sec"};
constexpr std::array<std::string_view, 4> kActions{"restart", "stopstart", "stop", "noaction"};

Result<Target> target_of(const spec::Module& module, const spec::Process& process) {
  Target target;
  target.name = process.name;
  target.watch_class = spec::class_of(module, process);
  const bool known = std::ranges::find(kActions, process.action) != kActions.end();
  (known ? target.action : target.handler) = process.action;
  target.at_least = process.at_least;
  target.at_most = process.at_most;
  target.start_after = process.start_after;
  if (process.service) {
    target.unit = process.name.ends_with(".service") ? process.name : process.name + ".service";
    if (target.action == "restart") target.restart_services = process.restart_services;
    return target;
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

}  // namespace

Targets targets_of(const spec::Module& module) {
  Targets targets;
  if (!module.errd) return targets;
  for (const spec::Process& process : module.errd->processes) {
    auto target = target_of(module, process);
    if (target) {
      const auto same = std::ranges::count(targets.list, target->name, &Target::name);
      target->key = same == 0 ? target->name : fmt::format("{}#{}", target->name, same + 1);
      targets.list.push_back(std::move(*target));
    } else if (targets.problem.empty()) {
      targets.problem = target.error().what;
    }
  }
  return targets;
}

bool is_role_class(std::string_view watch_class) { return std::ranges::find(kRoleClasses, watch_class) != kRoleClasses.end(); }

bool matches(const Target& target, const ProcessInfo& process) {
  if (!target.unit.empty()) return false;
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

}  // namespace safekit::errd
