#include "controllers/script/extra_runner.h"

#include <csignal>
#include <utility>

#include <fmt/format.h>

#include "controllers/script/plan.h"

namespace safekit::script {
namespace {

std::string group_of(const std::string& module, const std::string& key) { return module + "/" + key; }

}  // namespace

ExtraRunner::ExtraRunner(const Ports& ports, std::string state_dir, std::string program_dir)
    : ports_(ports), state_dir_(std::move(state_dir)), program_dir_(std::move(program_dir)) {}

Status ExtraRunner::start(const Run& run, Ended ended) {
  const std::pair at{run.module, run.key};
  if (runs_.contains(at)) return Error{Code::Conflict, fmt::format("script {} of module '{}' runs already", run.script, run.module)};
  SK_TRY_VOID(ports_.files.make_directories(module_var(state_dir_, run.module) + "/run"));
  SK_TRY_VOID(ports_.files.remove(status_path(run.module, run.key)));
  const std::string bin = private_bin(state_dir_, run.module);
  ProcessSpec process;
  process.argv = command_of({.program_dir = program_dir_,
                             .status = status_path(run.module, run.key),
                             .output = run.output_file,
                             .header = header_of(ports_.clock.wall_now(), run.script),
                             .group = ports_.leftovers.options_of(group_of(run.module, run.key)),
                             .program = bin + "/" + run.script,
                             .arguments = run.arguments});
  process.environment = run.environment;
  process.directory = bin;
  runs_[at] = std::move(ended);
  const auto started = ports_.processes.start(process, [this, at](const ExitStatus& status) {
    const auto node = runs_.extract(at);
    if (!node.empty()) node.mapped()(status.code ? *status.code : 128 + status.signal.value_or(0));
  });
  if (started) return {};
  runs_.erase(at);
  return Error{started.error().code, fmt::format("cannot start script {}: {}", run.script, started.error().what)};
}

Status ExtraRunner::end(const std::string& module, const std::string& key, bool kill) {
  const auto text = ports_.files.read(status_path(module, key));
  const RunnerStatus status = text ? parse_runner_status(*text) : RunnerStatus{};
  if (kill) SK_TRY_VOID(ports_.leftovers.kill(group_of(module, key)));
  if (status.pid == 0) return {};  // not begun: it is asked again when its time is over once more
  return ports_.processes.signal_group({.pid = status.pid, .start_ticks = status.start_ticks}, kill ? SIGKILL : SIGTERM);
}

Status ExtraRunner::clear(const std::string& module, const std::string& key) {
  const auto text = ports_.files.read(status_path(module, key));
  if (!text) return {};
  const RunnerStatus status = parse_runner_status(*text);
  if (!status.exit_code && !status.signal) SK_TRY_VOID(end(module, key, true));
  return ports_.files.remove(status_path(module, key));
}

std::set<std::string> ExtraRunner::groups(const std::string& module) const {
  std::set<std::string> groups;
  for (const auto& [at, ended] : runs_) {
    if (at.first == module) groups.insert(group_of(at.first, at.second));
  }
  return groups;
}

std::string ExtraRunner::status_path(const std::string& module, const std::string& key) const {
  return fmt::format("{}/run/extra-{}.status", module_var(state_dir_, module), key);
}

}  // namespace safekit::script
