#include "controllers/script/program_runner.h"

#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace safekit::script {
namespace {

constexpr std::string_view kPrefix = "checker-";

bool is_of_checker(std::string_view file) { return file.starts_with(kPrefix) && file.ends_with(".status"); }

}  // namespace

ProgramRunner::ProgramRunner(const Ports& ports, std::string state_dir, std::string program_dir,
                             std::function<void(const std::string&)> wake)
    : ports_(ports), state_dir_(std::move(state_dir)), program_dir_(std::move(program_dir)), wake_(std::move(wake)) {}

Result<std::optional<Duration>> ProgramRunner::pass(const std::string& module,
                                                    const std::map<std::string, status::CheckerProgram>& wanted,
                                                    const std::vector<std::string>& environment, bool is_logged) {
  Live& live = modules_[module];
  if (!live.cleared) SK_TRY_VOID(clear(module));
  live.cleared = true;
  ProgramPlan plan = decide_programs(wanted, std::move(live.programs), ports_.clock.mono_now());
  live.programs = std::move(plan.programs);
  for (const auto& action : plan.actions) {
    if (const auto* begin = std::get_if<StartProgram>(&action)) {
      Program& program = live.programs.at(begin->resource);
      if (const auto started = start(module, begin->resource, program, environment, is_logged); !started) {
        ports_.store.record(ModuleName{module}, "userplug", 'E', started.error().what);
        note_end(program, 127, ports_.clock.mono_now());
        if (!plan.recheck_after || *plan.recheck_after > kStartAgain) plan.recheck_after = kStartAgain;
      }
    } else {
      SK_TRY_VOID(end(module, std::get<EndProgram>(action)));
    }
  }
  return plan.recheck_after;
}

std::map<std::string, status::CheckerRun> ProgramRunner::runs(const std::string& module) const {
  std::map<std::string, status::CheckerRun> runs;
  const auto live = modules_.find(module);
  if (live == modules_.end()) return runs;
  for (const auto& [resource, program] : live->second.programs) {
    if (program.runs > 0) runs[resource] = {.count = program.runs, .fine = program.fine};
  }
  return runs;
}

/// Ends what an older safekitd has left running.
Status ProgramRunner::clear(const std::string& module) {
  const std::string directory = module_var(state_dir_, module) + "/run";
  const auto there = ports_.files.list(directory);
  if (!there) return {};  // nothing was ever run
  for (const FileInfo& file : *there) {
    if (!is_of_checker(file.name)) continue;
    const std::string path = directory + "/" + file.name;
    const auto text = ports_.files.read(path);
    const RunnerStatus status = text ? parse_runner_status(*text) : RunnerStatus{};
    const ProcessIdentity program{.pid = status.pid, .start_ticks = status.start_ticks};
    if (program.pid != 0 && ports_.processes.is_running(program)) {
      SK_TRY_VOID(ports_.processes.signal_group(program, SIGKILL));
    }
    SK_TRY_VOID(ports_.files.remove(path));
  }
  return {};
}

Status ProgramRunner::start(const std::string& module, const std::string& resource, Program& program,
                            const std::vector<std::string>& environment, bool is_logged) {
  const std::string var = module_var(state_dir_, module);
  SK_TRY_VOID(ports_.files.make_directories(var + "/run"));
  SK_TRY_VOID(ports_.files.remove(status_path(module, resource)));
  const std::string bin = private_bin(state_dir_, module);
  const std::string& exec = program.program.exec;
  ProcessSpec process;
  process.argv = command_of({.program_dir = program_dir_,
                             .status = status_path(module, resource),
                             .output = is_logged ? fmt::format("{}/userlog_{}.ulog", var, resource) : "/dev/null",
                             .program = exec.starts_with('/') ? exec : bin + "/" + exec,
                             .arguments = program.program.arguments});
  process.environment = environment;
  process.directory = bin;
  const auto runner = ports_.processes.start(
      process, [this, module, resource](const ExitStatus& status) { note(module, resource, status); });
  if (!runner) {
    return Error{runner.error().code, fmt::format("cannot start the checker {}: {}", resource, runner.error().what)};
  }
  return {};
}

Status ProgramRunner::end(const std::string& module, const EndProgram& wanted) {
  const auto text = ports_.files.read(status_path(module, wanted.resource));
  const RunnerStatus status = text ? parse_runner_status(*text) : RunnerStatus{};
  Program& program = modules_[module].programs.at(wanted.resource);
  if (status.pid == 0) {  // the runner has not come to start it yet: once more, soon
    program.terminated.reset();
    program.killed = false;
    return Error{Code::Unavailable, fmt::format("the checker {} is being started", wanted.resource)};
  }
  return ports_.processes.signal_group({.pid = status.pid, .start_ticks = status.start_ticks},
                                       wanted.kill ? SIGKILL : SIGTERM);
}

void ProgramRunner::note(const std::string& module, const std::string& resource, const ExitStatus& status) {
  Live& live = modules_[module];
  const auto found = live.programs.find(resource);
  if (found == live.programs.end()) return;
  Program& program = found->second;
  const int code = status.code ? *status.code : 128 + status.signal.value_or(0);
  if (program.timed_out) {
    ports_.store.record(ModuleName{module}, "userplug", 'E',
                        fmt::format("The checker {} was ended after its time limit of {}", resource,
                                    to_string(program.program.timeout)));
  } else if (!program.program.interval && program.program.once == 0 && !program.terminated) {
    ports_.store.record(ModuleName{module}, "userplug", 'E',
                        fmt::format("The checker {} ended with exit code {}; it is started again in {}", resource, code,
                                    to_string(kStartAgain)));
  }
  note_end(program, code, ports_.clock.mono_now());
  wake_(module);
}

std::string ProgramRunner::status_path(const std::string& module, const std::string& resource) const {
  return fmt::format("{}/run/{}{}.status", module_var(state_dir_, module), kPrefix, resource);
}

}  // namespace safekit::script
