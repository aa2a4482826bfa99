#include "controllers/script/config_plan.h"

#include <sstream>

#include <fmt/format.h>

#include "controllers/script/plan.h"

namespace safekit::script {
namespace {

void await_end(ConfigMemory& memory, MonoTime now, ConfigPlan& plan) {
  ConfigRun& run = *memory.run;
  const MonoTime limit = run.started + kConfigScriptMax;
  if (now < limit) {
    plan.recheck_after = limit - now;
  } else if (!run.terminated) {
    run.terminated = now;
    plan.actions.emplace_back(EndConfig{.kill = false});
    plan.recheck_after = kGrace;
  } else if (!run.killed && now >= *run.terminated + kGrace) {
    run.killed = true;
    plan.actions.emplace_back(EndConfig{.kill = true});
  } else if (!run.killed) {
    plan.recheck_after = *run.terminated + kGrace - now;
  }
}

void start(ConfigMemory& memory, const std::string& script, std::uint64_t version, MonoTime now, ConfigPlan& plan) {
  memory.run = ConfigRun{.script = script, .version = version, .started = now};
  plan.actions.emplace_back(StartConfig{script});
  plan.recheck_after = kConfigScriptMax;
}

std::string problem_of(const ConfigRun& run) {
  if (run.terminated) return fmt::format("script {} was ended after its time limit of {}", run.script, to_string(kConfigScriptMax));
  return fmt::format("script {} ended with exit code {}", run.script, *run.exit_code);
}

}  // namespace

ConfigPlan decide_config(const ConfigDesired& desired, ConfigMemory memory, MonoTime now) {
  ConfigPlan plan;
  std::string next;
  std::uint64_t version = desired.version;
  if (memory.run && !memory.run->exit_code) {
    await_end(memory, now, plan);
  } else if (memory.run) {
    const ConfigRun run = *memory.run;
    memory.run.reset();
    const bool failed = *run.exit_code != 0;
    if (run.script == "config" && !failed && desired.has_postconfig && desired.version == run.version) next = "postconfig";
    if (next.empty()) {
      memory.version = run.version;
      memory.problem = failed ? problem_of(run) : std::string{};
      memory.output_file = failed ? run.output_file : std::string{};
      plan.failure = memory.problem;
      plan.over = desired.version == 0 && run.script == "deconfig";
      if (!plan.over) plan.recheck_after = Duration{0};
    }
  } else if (desired.version == 0) {
    if (desired.has_deconfig && memory.version != 0) next = "deconfig";
    plan.over = next.empty();
  } else if (desired.materialised && (memory.version != desired.version || memory.again)) {
    next = desired.has_config ? "config" : desired.has_postconfig ? "postconfig" : "";
    memory.again = false;
    if (next.empty()) {
      memory.version = desired.version;
      memory.problem.clear();
      memory.output_file.clear();
    }
  }
  if (!next.empty()) start(memory, next, version, now, plan);
  plan.memory = std::move(memory);
  return plan;
}

bool is_configuring(const ConfigDesired& desired, const ConfigMemory& memory) {
  if (memory.run) return true;
  return desired.version != 0 && (desired.has_config || desired.has_postconfig) && (memory.version != desired.version || memory.again);
}

std::string encode(const ConfigMemory& memory) {
  return fmt::format("version={}\nproblem={}\noutput={}\n", memory.version, memory.problem, memory.output_file);
}

ConfigMemory decode_config(const std::string& text) {
  ConfigMemory memory;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("version=")) memory.version = std::strtoull(line.c_str() + 8, nullptr, 10);
    if (line.starts_with("problem=")) memory.problem = line.substr(8);
    if (line.starts_with("output=")) memory.output_file = line.substr(7);
  }
  return memory;
}

}  // namespace safekit::script
