#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controllers/errd/target.h"
#include "schema/base/time.h"
#include "schema/status/module.h"

/// What is done about processes and services that a module must have, or must not have (spec/runtime.md 4.3). The process table
/// is read when a class is enabled, at each poll and when a process that counts has ended (pidfd); where the kernel tells of
/// processes (Processes::watch_events) what comes and goes between is known at once, without reading it.
namespace safekit::errd {

enum class Verdict { Unknown, Good, Bad };

/// The last run of a target's handler.
struct HandlerRun {
  std::uint64_t run{0};
  std::optional<MonoTime> ended{};
  friend bool operator==(const HandlerRun&, const HandlerRun&) = default;
};

struct Memory {
  std::map<std::string, MonoTime> enabled{};  ///< by class
  std::map<std::string, Verdict> verdicts{};  ///< by target, of enabled classes
  std::optional<MonoTime> requested{};        ///< when `request` was made
  std::optional<MonoTime> scanned{};
  std::uint64_t last_request{0};  ///< kept over a restart of safekitd
  std::optional<status::ActionRequest> request{};
  std::map<std::string, HandlerRun> handlers{};  ///< by target
  std::uint64_t handler_runs{0};
  bool lost{false};  ///< events were: a scan is due
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Desired {
  std::set<std::string> watched{};  ///< classes; none while errd is suspended
  bool is_started{false};           ///< handlers that run may end
  Duration poll{seconds{30}};
  std::vector<Target> targets{};
};

/// Since the last pass.
struct News {
  bool ended{false};    ///< a process that counted
  bool changed{false};  ///< something else that was looked at already: an event of a process, a unit, a handler
  bool lost{false};     ///< events
};

/// First half of a pass: take up the classes, and say what has to be looked at.
struct Preparation {
  Memory memory{};
  bool scan{false};  ///< read the process table
  bool look{false};  ///< count what is known; with `scan` too
};
[[nodiscard]] Preparation prepare(const Desired& desired, const Memory& memory, const News& news, MonoTime now);

/// What this pass sees.
struct Observed {
  bool scanned{false};
  bool looked{false};
  std::map<std::string, Found> found{};  ///< by target, with `looked`; not what cannot be known
  std::map<std::string, status::CheckerRun> runs{};  ///< of handlers, by handler_key
};

struct Line {
  char level{'E'};
  std::string text{};  ///< component `errd`
  friend bool operator==(const Line&, const Line&) = default;
};
/// Under which name the handler of a target runs.
[[nodiscard]] std::string handler_key(const Target& target);
struct Plan {
  Memory memory{};
  std::vector<Line> lines{};
  std::map<std::string, std::string> resources{};             ///< `proc.<name>`
  std::map<std::string, status::CheckerProgram> handlers{};   ///< by handler_key: what shall run
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};
/// Second half. `request_floor`: ids of requests grow, also where the counter was lost with the power (the wall clock).
[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, const Memory& memory, MonoTime now,
                          std::uint64_t request_floor);

/// A process that the start script has just sent to the background may not have its name yet.
inline constexpr Duration kSettle = milliseconds{1000};
inline constexpr Duration kSettleStep = milliseconds{50};
/// A request that met a module in transition was let go: while the process is still missing there is another
/// one.
inline constexpr Duration kRepeat = seconds{1};
/// Scans for lost events come no closer: who loses them is busy.
inline constexpr Duration kLostGap = seconds{1};

}  // namespace safekit::errd
