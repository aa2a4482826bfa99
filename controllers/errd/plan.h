#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controllers/errd/pattern.h"
#include "schema/base/time.h"
#include "schema/port/process.h"
#include "schema/spec/module.h"
#include "schema/status/module.h"

/// Processes that a module must have, or must not have (spec/runtime.md 4.3). The process table is read once
/// when a class is enabled, at each poll, and at once when a process that counts has ended (pidfd); so the
/// poll finds only what has been started too often.
namespace safekit::errd {

/// One `<proc>`, ready to be matched.
struct Target {
  std::string name{};     ///< resource `proc.<name>`
  std::string command{};  ///< exact, at most 15 bytes; empty: `name_pattern` decides
  std::optional<Pattern> name_pattern{};
  std::optional<Pattern> argument_pattern{};
  status::WatchClass watch_class{status::WatchClass::Prim};
  std::string action{};  ///< `restart stopstart stop noaction`
  std::int32_t at_least{1};
  std::int32_t at_most{-1};
  std::uint32_t start_after{0};
};

struct Targets {
  std::vector<Target> list{};
  std::string problem{};  ///< a target that cannot be watched; the others are
};
[[nodiscard]] Targets targets_of(const spec::Module& module);
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

enum class Verdict { Unknown, Good, Bad };

struct Memory {
  std::map<status::WatchClass, MonoTime> enabled{};
  std::map<std::string, Verdict> verdicts{};  ///< by target name, of enabled classes
  std::optional<MonoTime> requested{};        ///< when `request` was made
  std::optional<MonoTime> scanned{};
  std::uint64_t last_request{0};  ///< kept over a restart of safekitd
  std::optional<status::ActionRequest> request{};
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Desired {
  std::set<status::WatchClass> watched{};  ///< empty while errd is suspended
  Duration poll{seconds{30}};
  std::vector<Target> targets{};
};

/// First half of a pass: take up the classes, and say whether the process table has to be read.
struct Preparation {
  Memory memory{};
  bool scan{false};
};
[[nodiscard]] Preparation prepare(const Desired& desired, const Memory& memory, bool something_ended,
                                  MonoTime now);

struct Line {
  char level{'E'};
  std::string text{};  ///< component `errd`
  friend bool operator==(const Line&, const Line&) = default;
};
struct Plan {
  Memory memory{};
  std::vector<Line> lines{};
  std::map<std::string, std::string> resources{};  ///< `proc.<name>`
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};
/// Second half. `found` by target name, when the table was read in this pass. `request_floor`: ids of
/// requests grow, also where the counter was lost with the power (the wall clock).
[[nodiscard]] Plan decide(const Desired& desired, const std::map<std::string, Found>& found, bool scanned,
                          const Memory& memory, MonoTime now, std::uint64_t request_floor);

/// A process that the start script has just sent to the background may not have its name yet.
inline constexpr Duration kSettle = milliseconds{1000};
inline constexpr Duration kSettleStep = milliseconds{50};
/// A request that met a module in transition was let go: while the process is still missing there is another
/// one.
inline constexpr Duration kRepeat = seconds{1};

}  // namespace safekit::errd
