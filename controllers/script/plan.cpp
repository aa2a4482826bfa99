#include "controllers/script/plan.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <fmt/format.h>

namespace safekit::script {
namespace {

template <class T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

/// Calls `take(key, value)` for each `key=value` line.
template <class Take>
void each_line(const std::string& text, Take take) {
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) take(std::string_view{line}.substr(0, equals), line.substr(equals + 1));
  }
}

/// How to end a running script: SIGTERM once, SIGKILL after the grace.
void end_run(const Execution& run, bool timed_out, MonoTime now, Plan& plan) {
  if (!run.terminated) {
    plan.actions.push_back(Signal{.kill = false, .timed_out = timed_out});
    plan.recheck_after = kGrace;
  } else if (now < *run.terminated + kGrace) {
    plan.recheck_after = *run.terminated + kGrace - now;
  } else if (!run.killed) {
    plan.actions.push_back(Signal{.kill = true, .timed_out = timed_out});
    plan.recheck_after = kGrace;
  } else {
    plan.recheck_after = kGrace;  // a process in the kernel's hands; the runner tells when it is gone
  }
}

/// Of status::kEndProcesses, which runs no program.
void end_left(const Desired& desired, const Observed& observed, MonoTime now, Plan& plan) {
  const Execution& run = *observed.run;
  const bool superseded = desired.order && desired.order->run != run.id;
  const bool late = run.killed && now >= run.started + 2 * kGrace;
  if (!observed.left_running || superseded || late) {
    plan.actions.push_back(EndLeft{.step = EndLeft::Step::Finish, .id = run.id, .all_gone = !observed.left_running});
    plan.recheck_after = Duration{0};
    return;
  }
  if (!run.killed && now >= run.started + kGrace) plan.actions.push_back(EndLeft{.step = EndLeft::Step::Kill, .id = run.id});
  plan.recheck_after = kLeftPoll;
}

/// A module that starts is configured first; one that runs waits for nothing.
bool waits_for_configuration(const Observed& observed, const status::ScriptOrder& order) {
  return observed.configuring && !order.arguments.empty() && order.arguments.front() == "STOP";
}

}  // namespace

Plan decide(const Desired& desired, const Observed& observed, MonoTime now) {
  Plan plan;
  const bool running = observed.run && observed.run->phase == Execution::Phase::Running;
  const bool is_new = desired.order && (!observed.run || observed.run->id != desired.order->run);
  if (running && observed.run->name == status::kEndProcesses) {
    end_left(desired, observed, now, plan);
    return plan;
  }
  if (running) {
    const Execution& run = *observed.run;
    const bool over_time = run.time_limit > Duration{0} && now >= run.started + run.time_limit;
    if (is_new || over_time || run.terminated) {
      end_run(run, run.timed_out || (over_time && !is_new), now, plan);
    } else if (run.time_limit > Duration{0}) {
      plan.recheck_after = run.started + run.time_limit - now;
    }
    return plan;
  }
  if (!observed.materialised) plan.actions.push_back(Materialise{});
  if (!is_new || waits_for_configuration(observed, *desired.order)) return plan;
  const bool ends_left = desired.order->name == status::kEndProcesses;
  if (ends_left && observed.left_running) {
    plan.actions.push_back(EndLeft{.step = EndLeft::Step::Begin, .id = desired.order->run});
    plan.recheck_after = kLeftPoll;
  } else if (!ends_left && desired.has_scripts && desired.exists) {
    plan.actions.push_back(Start{*desired.order});
    if (desired.order->time_limit > Duration{0}) plan.recheck_after = desired.order->time_limit;
  } else {
    plan.actions.push_back(Skip{desired.order->run});
  }
  return plan;
}

status::ScriptSection section_of(const Execution& run) {
  status::ScriptSection section;
  section.run = run.id;
  section.running = run.phase == Execution::Phase::Running;
  section.finished = run.phase == Execution::Phase::Finished;
  section.timed_out = run.timed_out;
  section.missing = run.missing;
  section.exit_code = run.exit_code;
  section.output_file = run.output_file;
  return section;
}

std::string private_bin(const std::string& state_dir, const std::string& module) {
  return fmt::format("{}/private/modules/{}/bin", state_dir, module);
}
std::string private_conf(const std::string& state_dir, const std::string& module) {
  return fmt::format("{}/private/modules/{}/conf", state_dir, module);
}
std::string private_safe_conf(const std::string& state_dir) {
  return state_dir + "/private/conf";
}
std::string module_var(const std::string& state_dir, const std::string& module) {
  return fmt::format("{}/modules/{}", state_dir, module);
}

std::vector<std::string> environment_of(const Environment& environment) {
  const std::string& state = environment.state_dir;
  const std::string& program = environment.program_dir;
  std::vector<std::string> result{
      "PATH=" + program + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOME=/root",
      "LANG=C.UTF-8",
  };
  result.insert(result.end(), environment.extra.begin(), environment.extra.end());
  for (const auto& [name, value] : environment.variables) result.push_back(name + "=" + value);
  // Ours last: where a name stands twice the last one counts for most programs, and these must not be
  // replaced.
  result.push_back("SAFE=" + program);
  result.push_back("SAFEVAR=" + state);
  result.push_back("SAFEBIN=" + program);
  result.push_back("SAFECONF=" + private_safe_conf(state));
  result.push_back("SAFEMODULE=" + environment.module);
  result.push_back("SAFEUSERBIN=" + private_bin(state, environment.module));
  result.push_back("SAFEUSERCONF=" + private_conf(state, environment.module));
  result.push_back("SAFEUSERVAR=" + module_var(state, environment.module));
  // One entry per name: the last one stays.
  std::vector<std::string> unique;
  for (auto it = result.rbegin(); it != result.rend(); ++it) {
    const std::string name = it->substr(0, it->find('=') + 1);
    const bool known = std::ranges::any_of(unique, [&](const std::string& e) { return e.starts_with(name); });
    if (!known) unique.push_back(*it);
  }
  std::ranges::reverse(unique);
  return unique;
}

std::string output_name(WallTime now, const std::string& script) {
  const std::string stamp = to_log_string(now);  // 2026-11-23 20:00:11.123456
  return fmt::format("userlog_{}T{}{}{}_{}.ulog", stamp.substr(0, 10), stamp.substr(11, 2),
                     stamp.substr(14, 2), stamp.substr(17, 2), script);
}

std::string log_line(const status::ScriptOrder& order, const std::string& output) {
  std::string line = "Script " + order.name;
  const bool forced = !order.arguments.empty() && order.arguments.front() == "force";
  // The states are left out; of the action only `prestart` tells (spec/runtime.md 2.2, observed).
  if (forced)
    line += " \"force\"";
  else if (order.name == "prestart" && order.arguments.size() >= 3)
    line += " \"" + order.arguments[2] + "\"";
  if (!output.empty()) line += " > " + output;
  return line;
}

std::string encode(const Record& record) {
  const Execution& run = record.run;
  std::string text =
      fmt::format("run={}\nname={}\nfinished={}\nstarted={}\nlimit={}\nrunner={}\nticks={}\n", run.id,
                  run.name, static_cast<int>(run.phase == Execution::Phase::Finished), run.started.ns,
                  run.time_limit.count(), record.runner_pid, record.runner_ticks);
  text += fmt::format("killed={}\ntimed_out={}\nmissing={}\nexit={}\noutput={}\n",
                      static_cast<int>(run.killed), static_cast<int>(run.timed_out),
                      static_cast<int>(run.missing), run.exit_code, run.output_file);
  if (run.terminated) text += fmt::format("terminated={}\n", run.terminated->ns);
  return text;
}

std::optional<Record> decode(const std::string& text) {
  Record record;
  Execution& run = record.run;
  bool good = false;
  each_line(text, [&](std::string_view key, const std::string& value) {
    std::int64_t number = 0;
    if (key == "run")
      good = parse_number(value, run.id);
    else if (key == "name")
      run.name = value;
    else if (key == "output")
      run.output_file = value;
    else if (key == "ticks")
      (void)parse_number(value, record.runner_ticks);  // 0: not known
    else if (!parse_number(value, number))
      return;
    else if (key == "finished")
      run.phase = number != 0 ? Execution::Phase::Finished : Execution::Phase::Running;
    else if (key == "started")
      run.started = MonoTime{number};
    else if (key == "limit")
      run.time_limit = Duration{number};
    else if (key == "runner")
      record.runner_pid = static_cast<std::int32_t>(number);
    else if (key == "killed")
      run.killed = number != 0;
    else if (key == "timed_out")
      run.timed_out = number != 0;
    else if (key == "missing")
      run.missing = number != 0;
    else if (key == "exit")
      run.exit_code = static_cast<int>(number);
    else if (key == "terminated")
      run.terminated = MonoTime{number};
  });
  if (!good) return std::nullopt;
  return record;
}

RunnerStatus parse_runner_status(const std::string& text) {
  RunnerStatus status;
  each_line(text, [&](std::string_view key, const std::string& value) {
    int number = 0;
    if (key == "start_ticks")
      (void)parse_number(value, status.start_ticks);  // 0: not known
    else if (!parse_number(value, number))
      return;
    else if (key == "pid")
      status.pid = number;
    else if (key == "pgid")
      status.group = number;
    else if (key == "exit")
      status.exit_code = number;
    else if (key == "signal")
      status.signal = number;
  });
  return status;
}

Housekeeping housekeeping(std::vector<LogFile> files, std::uint64_t size_limit_bytes) {
  std::erase_if(files, [](const LogFile& file) {
    return !file.name.starts_with("userlog_") || !file.name.ends_with(".ulog");
  });
  std::ranges::sort(files, {}, &LogFile::name);
  Housekeeping result;
  const std::size_t surplus = files.size() > kOutputFilesMax ? files.size() - kOutputFilesMax : 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (i < surplus)
      result.remove.push_back(files[i].name);
    else if (files[i].size_bytes >= size_limit_bytes)
      result.truncate.push_back(files[i].name);
  }
  return result;
}

std::vector<std::string> command_of(const RunnerCall& call) {
  std::vector<std::string> words{call.program_dir + "/safekit-runner", "--status", call.status, "--output", call.output};
  if (!call.header.empty()) words.insert(words.end(), {"--header", call.header});
  words.insert(words.end(), call.group.begin(), call.group.end());
  words.insert(words.end(), {"--", call.program});
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  return words;
}

std::string header_of(WallTime now, const std::string& script) { return fmt::format("---- {} {} ----", to_log_string(now), script); }

}  // namespace safekit::script
