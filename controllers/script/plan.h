#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "schema/base/time.h"
#include "schema/status/module.h"

/// One role script at a time per module (spec/runtime.md 2). Each order (RoleSection::script) is executed
/// once, also when safekitd is killed and started again in the middle of it. A new order while an older
/// script runs ends the older one (that is how `forcestop` gets past a start script that hangs); no order at
/// all leaves what runs alone, because that is what a role controller that has just come up says.
namespace safekit::script {

/// The last script started, as the stored fact and the runner's status file tell.
struct Execution {
  enum class Phase { Running, Finished };
  std::uint64_t id{0};
  std::string name{};
  Phase phase{Phase::Running};
  MonoTime started{};
  Duration time_limit{};                 ///< 0: none
  std::optional<MonoTime> terminated{};  ///< SIGTERM was sent then
  bool killed{false};                    ///< SIGKILL was sent
  bool timed_out{false};
  bool missing{false};
  int exit_code{0};
  std::string output_file{};
  friend bool operator==(const Execution&, const Execution&) = default;
};

struct Desired {
  std::optional<status::ScriptOrder> order{};
  bool has_scripts{false};  ///< the module has a user section
  bool exists{false};       ///< the script ordered is there
  friend bool operator==(const Desired&, const Desired&) = default;
};

struct Observed {
  std::optional<Execution> run{};
  bool materialised{true};  ///< the private directory holds the scripts of the spec in force
  bool configuring{false};  ///< scripts of its configuration are to run, or run: a module that starts waits for them
  bool left_running{false};
  friend bool operator==(const Observed&, const Observed&) = default;
};

/// Write the scripts of the spec into the private directory.
struct Materialise {
  friend bool operator==(const Materialise&, const Materialise&) = default;
};
struct Start {
  status::ScriptOrder order{};
  friend bool operator==(const Start&, const Start&) = default;
};
/// There is nothing to run; the order counts as executed.
struct Skip {
  std::uint64_t id{0};
  friend bool operator==(const Skip&, const Skip&) = default;
};
struct Signal {
  bool kill{false};  ///< SIGKILL, else SIGTERM; to the whole group
  bool timed_out{false};
  friend bool operator==(const Signal&, const Signal&) = default;
};
/// The steps of status::kEndProcesses.
struct EndLeft {
  enum class Step { Begin, Kill, Finish };  ///< SIGTERM to all, SIGKILL to all, over
  Step step{Step::Begin};
  std::uint64_t id{0};
  bool all_gone{true};  ///< of Finish
  friend bool operator==(const EndLeft&, const EndLeft&) = default;
};
using Action = std::variant<Materialise, Start, Skip, Signal, EndLeft>;

struct Plan {
  std::vector<Action> actions{};
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// From SIGTERM to SIGKILL.
inline constexpr Duration kGrace = seconds{5};
/// Nothing tells when the last process of a group has ended that is not our child.
inline constexpr Duration kLeftPoll = milliseconds{50};

[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, MonoTime now);

/// What is known of a run, as the section that the role controller reads.
[[nodiscard]] status::ScriptSection section_of(const Execution& run);

/// Fields of the environment of spec/runtime.md 2.3.
struct Environment {
  std::string module{};
  std::string state_dir{};
  std::string program_dir{};                                     ///< where safekit and safekit-runner are
  std::vector<std::pair<std::string, std::string>> variables{};  ///< of the user section
  std::vector<std::string> extra{};                              ///< NAME=value, of the node
};
[[nodiscard]] std::vector<std::string> environment_of(const Environment& environment);

[[nodiscard]] std::string private_bin(const std::string& state_dir, const std::string& module);
[[nodiscard]] std::string private_conf(const std::string& state_dir, const std::string& module);
[[nodiscard]] std::string private_safe_conf(const std::string& state_dir);
[[nodiscard]] std::string module_var(const std::string& state_dir, const std::string& module);

/// `userlog_2026-11-23T200011_start_prim.ulog`
[[nodiscard]] std::string output_name(WallTime now, const std::string& script);
/// `Script stop_prim "force" > userlog_....ulog`; an empty output is not named.
[[nodiscard]] std::string log_line(const status::ScriptOrder& order, const std::string& output);

/// What is kept of a run over a restart of the daemon, as text and back. `decode` gives nothing for a text
/// that it cannot read.
struct Record {
  Execution run{};
  std::int32_t runner_pid{0};
  std::uint64_t runner_ticks{0};
  friend bool operator==(const Record&, const Record&) = default;
};
[[nodiscard]] std::string encode(const Record& record);
[[nodiscard]] std::optional<Record> decode(const std::string& text);

/// How safekit-runner is called.
struct RunnerCall {
  std::string program_dir{};
  std::string status{};               ///< its status file
  std::string output{"-"};            ///< file that both outputs are appended to; `-`: those of the runner
  std::string header{};               ///< line before the output; empty: none
  std::vector<std::string> group{};   ///< Leftovers::options_of
  std::string program{};              ///< absolute
  std::vector<std::string> arguments{};
};
[[nodiscard]] std::vector<std::string> command_of(const RunnerCall& call);
/// `---- 2026-11-23 20:00:11.123456 start_prim ----`
[[nodiscard]] std::string header_of(WallTime now, const std::string& script);

/// The runner's status file: `key=value` lines.
struct RunnerStatus {
  std::int32_t pid{0};
  std::uint64_t start_ticks{0};
  std::int32_t group{0};
  std::optional<int> exit_code{};
  std::optional<int> signal{};
  friend bool operator==(const RunnerStatus&, const RunnerStatus&) = default;
};
[[nodiscard]] RunnerStatus parse_runner_status(const std::string& text);

/// Which output files to empty and which to remove at module start (spec/runtime.md 2.6): over the size
/// limit, and the oldest of too many. Their names sort by date.
struct Housekeeping {
  std::vector<std::string> truncate{};
  std::vector<std::string> remove{};
};
struct LogFile {
  std::string name{};
  std::uint64_t size_bytes{0};
};
inline constexpr std::size_t kOutputFilesMax = 500;
[[nodiscard]] Housekeeping housekeeping(std::vector<LogFile> files, std::uint64_t size_limit_bytes);

}  // namespace safekit::script
