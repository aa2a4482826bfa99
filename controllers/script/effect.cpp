#include "controllers/script/effect.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

#include "controllers/script/wrappers.h"
#include "schema/codec/safekit_xml.h"

namespace safekit::script {
namespace {

std::string group_of(const std::string& module, std::uint64_t run) { return fmt::format("{}/{}", module, run); }

}  // namespace

std::string fact_key(const std::string& module) { return "script/" + module; }

const spec::Scripts* scripts_of(const spec::Module* spec) {
  return spec != nullptr && spec->scripts && spec->scripts->enabled ? &*spec->scripts : nullptr;
}

const spec::Scripts& scripts_or_usual(const spec::Module* spec) {
  static const spec::Scripts usual{};
  const spec::Scripts* scripts = scripts_of(spec);
  return scripts == nullptr ? usual : *scripts;
}

ScriptController::ScriptController(store::Store& store, const Clock& clock, Processes& processes,
                                   Files& files, Wake wake, Paths paths, ProcessGroups* groups)
    : store_(store),
      clock_(clock),
      processes_(processes),
      files_(files),
      wake_(std::move(wake)),
      paths_(std::move(paths)),
      leftovers_(groups, processes),
      programs_({store, clock, processes, files}, paths_.state_dir, paths_.program_dir,
                [this](const std::string& module) { wake_(engine::Request{module}); }),
      extra_({clock, processes, files, leftovers_}, paths_.state_dir, paths_.program_dir) {}

std::optional<engine::Request> ScriptController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> ScriptController::reconcile(const engine::Request& request) {
  const std::string& module = request.name;
  Live& live = modules_[module];
  load(module, live);
  SK_TRY_VOID(observe(module, live));

  const auto spec = store_.module(ModuleName{module});
  const bool known = store_.status(ModuleName{module}).role.since != WallTime{};
  if (spec == nullptr && live.role_known && !known) {  // deleted, and its role has stopped it
    SK_TRY(const auto config_due, run_config(module, live));
    return engine::Outcome{.requeue_after = config_due};
  }
  live.role_known = live.role_known || known;
  Desired desired;
  desired.order = store_.status(ModuleName{module}).role.script;
  // A deleted module is still to be stopped with the scripts it had.
  desired.has_scripts = spec == nullptr || scripts_of(spec.get()) != nullptr;
  desired.exists = desired.order && exists(module, desired.order->name);
  Observed observed;
  if (live.record) observed.run = live.record->run;
  observed.materialised = spec == nullptr || live.materialised == spec;
  observed.configuring = is_configuring(config_desired(module, live), live.config);
  observed.left_running = leftovers_.any(module);

  const Plan plan = decide(desired, observed, clock_.mono_now());
  for (const Action& action : plan.actions) SK_TRY_VOID(apply(module, live, action));
  std::optional<Duration> due = plan.recheck_after;
  const auto sooner = [&due](const std::optional<Duration>& after) {
    if (after && (!due || *after < *due)) due = after;
  };
  SK_TRY(const auto programs_due, run_programs(module, spec.get()));
  sooner(programs_due);
  if (spec != nullptr) {
    SK_TRY(const auto config_due, run_config(module, live));
    sooner(config_due);
    run_asked(module, live);
  }
  publish(module, live);
  if (on_pass_) on_pass_(module);
  return engine::Outcome{.requeue_after = due};
}

void ScriptController::publish(const std::string& module, Live& live) {
  status::ScriptSection section = live.record ? section_of(live.record->run) : status::ScriptSection{};
  section.checkers = programs_.runs(module);
  section.left_running = leftovers_.any(module);
  section.configured = live.config.version;
  section.unconfigured = live.config.problem;
  section.by_hand = live.by_hand;
  tell_of_left(module, live, section.left_running);
  const auto configured = configured_condition(module, live);
  store_.update_status(ModuleName{module}, [&](status::Module& m) {
    m.script = section;
    const auto old = std::ranges::find(m.conditions, "Configured", &status::Condition::type);
    if (configured && old != m.conditions.end()) {
      const WallTime since = old->is_true == configured->is_true && old->reason == configured->reason ? old->since : configured->since;
      *old = *configured;
      old->since = since;
    } else if (configured) {
      m.conditions.push_back(*configured);
    } else if (old != m.conditions.end()) {
      m.conditions.erase(old);
    }
  });
}

/// The application's processes are to be gone with the module. They are not ended unasked: an author may mean them to stay.
void ScriptController::tell_of_left(const std::string& module, Live& live, bool left_running) {
  const status::RoleSection& role = store_.status(ModuleName{module}).role;
  const bool stopped = role.role == status::Role::Stop && !role.script && !live.by_hand && extra_.groups(module).empty();
  if (!stopped || !left_running) {
    if (!stopped) live.left_told = false;
    return;
  }
  if (live.left_told) return;
  live.left_told = true;
  store_.record(ModuleName{module}, "userplug", 'W',
                fmt::format("Processes that its scripts have started go on: {}; `safekit forcestop -m {}` ends them",
                            leftovers_.names(module), module));
}

void ScriptController::tell_of_groups(const std::string& module) {
  if (groups_told_ || leftovers_.problem().empty()) return;
  groups_told_ = true;
  store_.record(ModuleName{module}, "userplug", 'W',
                fmt::format("What scripts leave behind is not found on this node: {}", leftovers_.problem()));
}

Result<std::optional<Duration>> ScriptController::run_programs(const std::string& module, const spec::Module* spec) {
  const spec::Scripts& scripts = scripts_or_usual(spec);
  const status::Module& seen = store_.status(ModuleName{module});
  std::map<std::string, status::CheckerProgram> wanted = seen.checker.programs;
  wanted.insert(seen.errd.handlers.begin(), seen.errd.handlers.end());
  return programs_.pass(module, wanted, environment(module, scripts),
                        scripts.logging == spec::ScriptLogging::UserLog);
}

void ScriptController::load(const std::string& module, Live& live) {
  if (live.loaded) return;
  live.loaded = true;
  if (const auto text = store_.fact(fact_key(module))) live.record = decode(*text);
  load_extra(module, live);
}

/// Brings the record up to what the status file and the process table say.
Status ScriptController::observe(const std::string& module, Live& live) {
  if (!live.record || live.record->run.phase != Execution::Phase::Running) return {};
  Record& record = *live.record;
  if (record.run.name == status::kEndProcesses) return {};
  const std::string path = status_path(module, record.run.id);
  // Asked before the file is read: the runner writes the end first and exits then.
  const ProcessIdentity runner{.pid = record.runner_pid, .start_ticks = record.runner_ticks};
  const bool runner_lives = runner.pid != 0 && processes_.is_running(runner);
  const auto text = files_.read(path);
  const RunnerStatus status = text ? parse_runner_status(*text) : RunnerStatus{};
  if (status.exit_code || status.signal) {
    finish(module, live, status);
    return {};
  }
  if (runner_lives) return watch(module, live, runner);
  if (runner.pid == 0) {  // safekitd was killed at the start; did the runner get to run?
    if (const auto found = find_runner(path)) {
      record.runner_pid = found->pid;
      record.runner_ticks = found->start_ticks;
      (void)save(module, record);  // found again the same way if this is lost
      return watch(module, live, *found);
    }
  }
  if (!text) {
    // The runner writes it before the script's first instruction: the script has not run, so it may be
    // started.
    live.record.reset();
    SK_TRY_VOID(store_.forget_fact(fact_key(module)));
    if (runner.pid == 0) return {};
    return Error{Code::Io,
                 fmt::format("the runner of a script of module '{}' ended before it began; is '{}' writable?",
                             module, path)};
  }
  const ProcessIdentity script{.pid = status.pid, .start_ticks = status.start_ticks};
  if (script.pid != 0 && processes_.is_running(script)) return watch(module, live, script);
  finish(module, live,
         RunnerStatus{.signal = SIGKILL});  // the runner was killed: nobody saw how the script ended
  return {};
}

Status ScriptController::watch(const std::string& module, Live& live, ProcessIdentity process) {
  if (live.watch != 0) return {};
  SK_TRY(live.watch, processes_.watch_exit(process, [this, module] {
    modules_[module].watch = 0;
    wake_(engine::Request{module});
  }));
  return {};
}

void ScriptController::finish(const std::string& module, Live& live, const RunnerStatus& status) {
  Execution& run = live.record->run;
  run.phase = Execution::Phase::Finished;
  run.exit_code = status.exit_code ? *status.exit_code : 128 + status.signal.value_or(0);
  if (live.watch != 0) processes_.unwatch_exit(live.watch);
  live.watch = 0;
  if (run.timed_out) {
    store_.record(
        ModuleName{module}, "userplug", 'E',
        fmt::format("Script {} was ended after its time limit of {}", run.name, to_string(run.time_limit)));
  } else if (run.exit_code != 0 && !run.terminated) {
    // Not a fault by itself (spec/runtime.md 2.4): a script that means it calls `safekit stop -i`.
    const std::string output = run.output_file.substr(run.output_file.rfind('/') + 1);
    store_.record(ModuleName{module}, "userplug", 'E',
                  fmt::format("Script {} ended with exit code {}{}", run.name, run.exit_code,
                              output.empty() ? "" : ", see " + output));
  }
  if (run.terminated) (void)leftovers_.kill(group_of(module, run.id));  // it was ended with all that it has started
  leftovers_.tidy(group_of(module, run.id), {});
  (void)save(module, *live.record);  // the status file says the same after a restart
}

Status ScriptController::apply(const std::string& module, Live& live, const Action& action) {
  struct Visitor {
    ScriptController& self;
    const std::string& module;
    Live& live;
    Status operator()(const Materialise&) const { return self.materialise(module, live); }
    Status operator()(const Start& start) const { return self.start(module, live, start.order); }
    Status operator()(const Signal& signal) const { return self.signal(module, live, signal); }
    Status operator()(const EndLeft& step) const { return self.end_left(module, live, step); }
    Status operator()(const Skip& skip) const {
      live.record = Record{};
      live.record->run.id = skip.id;
      live.record->run.phase = Execution::Phase::Finished;
      live.record->run.missing = true;
      return self.save(module, *live.record);
    }
  };
  return std::visit(Visitor{*this, module, live}, action);
}

Status ScriptController::end_left(const std::string& module, Live& live, const EndLeft& step) {
  switch (step.step) {
    case EndLeft::Step::Begin: {
      live.record = Record{};
      Execution& run = live.record->run;
      run.id = step.id;
      run.name = std::string{status::kEndProcesses};
      run.started = clock_.mono_now();
      store_.record(ModuleName{module}, "userplug", 'W', fmt::format("Processes that its scripts have started are ended: {}", leftovers_.names(module)));
      leftovers_.terminate(module);
      break;
    }
    case EndLeft::Step::Kill:
      live.record->run.killed = true;
      SK_TRY_VOID(leftovers_.kill(module));
      break;
    case EndLeft::Step::Finish:
      live.record->run.phase = Execution::Phase::Finished;
      live.record->run.exit_code = step.all_gone ? 0 : 1;
      leftovers_.tidy(module, extra_.groups(module));
      break;
  }
  return save(module, *live.record);
}

Status ScriptController::materialise(const std::string& module, Live& live) {
  const auto spec = store_.module(ModuleName{module});
  if (spec == nullptr) return {};
  const std::string directory = private_bin(paths_.state_dir, module);
  SK_TRY_VOID(files_.make_directories(directory));
  SK_TRY_VOID(files_.make_directories(private_conf(paths_.state_dir, module)));
  SK_TRY_VOID(files_.make_directories(private_safe_conf(paths_.state_dir)));
  SK_TRY_VOID(files_.make_directories(module_var(paths_.state_dir, module)));
  const std::map<std::string, std::string> none;
  const auto& scripts = spec->scripts ? spec->scripts->files : none;
  SK_TRY(const auto there, files_.list(directory));
  const auto wrappers = wrappers_of(module, paths_.program_dir);
  for (const FileInfo& file : there) {
    if (!scripts.contains(file.name) && !wrappers.contains(file.name)) SK_TRY_VOID(files_.remove(directory + "/" + file.name));
  }
  for (const auto& [script, text] : scripts) {
    if (script.find("..") != std::string::npos) continue;  // validation refuses it; this is the second lock
    SK_TRY_VOID(replace_if_new(directory + "/" + script, text, 0755));
  }
  for (const auto& [wrapper, text] : wrappers) {
    if (!scripts.contains(wrapper)) SK_TRY_VOID(replace_if_new(directory + "/" + wrapper, text, 0755));
  }
  const std::string conf = private_conf(paths_.state_dir, module) + "/safeconf.xml";
  SK_TRY_VOID(replace_if_new(conf, codec::print_expanded_xml(*spec), 0644));
  live.materialised = spec;
  return {};
}

Status ScriptController::replace_if_new(const std::string& path, const std::string& text,
                                        std::uint32_t mode) {
  const auto old = files_.read(path);
  // Not synced: the loop must not wait for a disk, and after a power loss they are compared and written
  // again.
  return old && *old == text ? Status{} : files_.put(path, text, mode);
}

Status ScriptController::start(const std::string& module, Live& live, const status::ScriptOrder& order) {
  const auto spec = store_.module(ModuleName{module});
  const spec::Scripts& scripts = scripts_or_usual(spec.get());
  const std::string var = module_var(paths_.state_dir, module);
  SK_TRY_VOID(files_.make_directories(var + "/run"));
  if (live.record) SK_TRY_VOID(files_.remove(status_path(module, live.record->run.id)));
  SK_TRY_VOID(files_.remove(status_path(module, order.run)));
  if (order.name == "prestart") keep_house(module, std::uint64_t{scripts.log_size_kb} * 1024);

  const bool logged = scripts.logging == spec::ScriptLogging::UserLog;
  const std::string output = logged ? output_name(clock_.wall_now(), order.name) : std::string{};
  live.record = Record{};
  Execution& run = live.record->run;
  run.id = order.run;
  run.name = order.name;
  run.started = clock_.mono_now();
  run.time_limit = order.time_limit;
  run.output_file = logged ? var + "/" + output : std::string{};
  SK_TRY_VOID(save(module, *live.record));  // before the start: who finds it looks for the runner

  ProcessSpec process;
  const std::string bin = private_bin(paths_.state_dir, module);
  tell_of_groups(module);
  leftovers_.tidy(module, extra_.groups(module));
  process.argv = command_of({.program_dir = paths_.program_dir,
                             .status = status_path(module, order.run),
                             .output = logged ? run.output_file : "-",
                             .header = header_of(clock_.wall_now(), order.name),
                             .group = leftovers_.options_of(group_of(module, order.run)),
                             .program = bin + "/" + order.name,
                             .arguments = order.arguments});
  process.environment = environment(module, scripts);
  process.directory = bin;
  const auto runner =
      processes_.start(process, [this, module](const ExitStatus&) { wake_(engine::Request{module}); });
  if (!runner) {
    live.record.reset();
    (void)store_.forget_fact(fact_key(module));  // a next pass finds no runner and starts again as well
    return Error{runner.error().code == Code::Invalid ? Code::Io : runner.error().code,
                 fmt::format("cannot start script '{}': {}", order.name, runner.error().what)};
  }
  live.record->runner_pid = runner->pid;
  live.record->runner_ticks = runner->start_ticks;
  store_.record(ModuleName{module}, "userplug", 'S', log_line(order, output));
  return save(module, *live.record);
}

std::vector<std::string> ScriptController::environment(const std::string& module, const spec::Scripts& scripts) const {
  Environment environment{.module = module,
                          .state_dir = paths_.state_dir,
                          .program_dir = paths_.program_dir,
                          .variables = {},
                          .extra = paths_.extra_environment};
  for (const spec::Variable& variable : scripts.environment) {
    environment.variables.emplace_back(variable.name, variable.value);
  }
  return environment_of(environment);
}

Status ScriptController::signal(const std::string& module, Live& live, const Signal& wanted) {
  Record& record = *live.record;
  const auto text = files_.read(status_path(module, record.run.id));
  const RunnerStatus status = text ? parse_runner_status(*text) : RunnerStatus{};
  if (wanted.kill) record.run.killed = true;
  if (!record.run.terminated) record.run.terminated = clock_.mono_now();
  record.run.timed_out = record.run.timed_out || wanted.timed_out;
  SK_TRY_VOID(save(module, record));
  // Also what has left the script's session.
  if (wanted.kill) SK_TRY_VOID(leftovers_.kill(group_of(module, record.run.id)));
  if (status.pid == 0)
    return {};  // the runner has not come to start the script yet; the next pass signals again
  const ProcessIdentity script{.pid = status.pid, .start_ticks = status.start_ticks};
  return processes_.signal_group(script, wanted.kill ? SIGKILL : SIGTERM);
}

Status ScriptController::save(const std::string& module, const Record& record) {
  // Not durable: after a power loss no script runs, and the role controller counts its orders on from its own
  // facts.
  return store_.set_fact(fact_key(module), encode(record), false);
}

void ScriptController::keep_house(const std::string& module, std::uint64_t size_limit_bytes) {
  const std::string var = module_var(paths_.state_dir, module);
  const auto there = files_.list(var);
  if (!there) return;  // output files are a convenience: a start does not fail for them
  std::vector<LogFile> logs;
  for (const FileInfo& file : *there) logs.push_back({file.name, file.size_bytes});
  const Housekeeping work = housekeeping(std::move(logs), size_limit_bytes);
  for (const std::string& file : work.remove) (void)files_.remove(var + "/" + file);      // as above
  for (const std::string& file : work.truncate) (void)files_.truncate(var + "/" + file);  // as above
}

bool ScriptController::exists(const std::string& module, const std::string& script) const {
  if (const auto spec = store_.module(ModuleName{module})) {
    return spec->scripts && spec->scripts->files.contains(script);
  }
  const auto there = files_.list(private_bin(paths_.state_dir, module));
  return there && std::ranges::find(*there, script, &FileInfo::name) != there->end();
}

std::string ScriptController::status_path(const std::string& module, std::uint64_t run) const {
  return fmt::format("{}/run/script-{}.status", module_var(paths_.state_dir, module), run);
}

std::optional<ProcessIdentity> ScriptController::find_runner(const std::string& status_file) {
  const auto all = processes_.list();
  if (!all) return std::nullopt;
  for (const ProcessInfo& process : *all) {
    if (process.arguments.find("--status " + status_file) != std::string::npos) return process.identity;
  }
  return std::nullopt;
}

}  // namespace safekit::script
