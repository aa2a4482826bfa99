#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controllers/errd/pattern.h"
#include "schema/port/process.h"
#include "schema/spec/module.h"

/// What errd looks for, and which processes those are. Pure.
namespace safekit::errd {

/// One `<proc>`, ready to be matched.
struct Target {
  std::string key{};      ///< its own among those of the module
  std::string name{};     ///< resource `proc.<name>`; several may share it
  std::string command{};  ///< exact, at most 15 bytes; empty: `name_pattern` decides
  std::optional<Pattern> name_pattern{};
  std::optional<Pattern> argument_pattern{};
  std::string unit{};  ///< of systemd: the unit is watched, and no process
  std::string watch_class{"prim"};
  std::string action{};   ///< `restart stopstart stop noaction`
  std::string handler{};  ///< a program in the place of an action
  std::vector<std::string> restart_services{};  ///< with `restart`: only these
  std::int32_t at_least{1};
  std::int32_t at_most{-1};
  std::uint32_t start_after{0};
};

struct Targets {
  std::vector<Target> list{};
  std::string problem{};  ///< a target that cannot be watched; the others are
};
[[nodiscard]] Targets targets_of(const spec::Module& module);
/// `pre prim both second sec`: enabled with the role. Any other class is enabled and disabled by the module's scripts.
[[nodiscard]] bool is_role_class(std::string_view watch_class);
[[nodiscard]] bool matches(const Target& target, const ProcessInfo& process);

/// What of the process table concerns one target.
struct Found {
  int count{0};
  std::vector<ProcessIdentity> watch{};  ///< whose end changes the verdict
  friend bool operator==(const Found&, const Found&) = default;
};
inline constexpr std::size_t kWatchMax = 256;  ///< processes per target; more are left to the poll
/// Where the processes that were not started by another match are enough (a server, not its workers), only
/// those are watched, so that workers that come and go cost nothing.
[[nodiscard]] Found find(const Target& target, const std::vector<ProcessInfo>& processes);

}  // namespace safekit::errd
