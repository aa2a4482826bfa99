#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "schema/base/time.h"

/// The scripts of a module's configuration (spec/runtime.md 2.1): `config` and `postconfig` are run on each of its nodes when the
/// node has taken a revision of the module, `deconfig` when the module is deleted there and has stopped. A revision that comes
/// while they run is configured after it. One that failed stays in force, is told of, and keeps people from starting the module.
namespace safekit::script {

struct ConfigRun {
  std::string script{};
  std::uint64_t version{0};
  MonoTime started{};
  std::optional<MonoTime> terminated{};
  bool killed{false};
  std::optional<int> exit_code{};  ///< it has ended
  std::string output_file{};
  friend bool operator==(const ConfigRun&, const ConfigRun&) = default;
};

/// `version` and `problem` are kept over a restart; what ran then is ended and run again.
struct ConfigMemory {
  std::uint64_t version{0};  ///< store::version_of the revision for which they have run; 0: none
  std::string problem{};     ///< of the script that failed
  std::string output_file{};
  std::optional<ConfigRun> run{};
  bool again{false};  ///< asked for
  friend bool operator==(const ConfigMemory&, const ConfigMemory&) = default;
};

struct ConfigDesired {
  std::uint64_t version{0};   ///< of the spec in force; 0: the module is deleted here
  bool materialised{false};   ///< the private directory holds its scripts
  bool has_config{false};
  bool has_postconfig{false};
  bool has_deconfig{false};
  friend bool operator==(const ConfigDesired&, const ConfigDesired&) = default;
};

struct StartConfig {
  std::string script{};
  friend bool operator==(const StartConfig&, const StartConfig&) = default;
};
struct EndConfig {
  bool kill{false};
  friend bool operator==(const EndConfig&, const EndConfig&) = default;
};
struct ConfigPlan {
  ConfigMemory memory{};
  std::vector<std::variant<StartConfig, EndConfig>> actions{};
  std::string failure{};  ///< for the log
  std::optional<Duration> recheck_after{};
  bool over{false};  ///< deleted, and nothing is left to run
};

/// One of them that has not ended by then is ended: others wait for it.
inline constexpr Duration kConfigScriptMax = minutes{10};

[[nodiscard]] ConfigPlan decide_config(const ConfigDesired& desired, ConfigMemory memory, MonoTime now);
/// Whether scripts are to run for the spec in force.
[[nodiscard]] bool is_configuring(const ConfigDesired& desired, const ConfigMemory& memory);

[[nodiscard]] std::string encode(const ConfigMemory& memory);
[[nodiscard]] ConfigMemory decode_config(const std::string& text);  ///< what cannot be read is run again

}  // namespace safekit::script
