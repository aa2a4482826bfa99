#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "schema/base/time.h"
#include "schema/rule/evaluate.h"
#include "schema/status/module.h"

/// Failover rules: from the values of resources to what is asked of the module (spec/runtime.md 3). Rules
/// that say `wait` are told by their labels; of the others that hold the most severe makes a request, again
/// while it holds.
namespace safekit::failover {

struct Desired {
  std::vector<rule::Rule> rules{};
  Duration hold{};  ///< a rule counts when it has held for so long
};

struct Observed {
  std::map<std::string, std::string> local{};   ///< value by `class.id`
  std::map<std::string, std::string> remote{};  ///< of the other node's; empty while it is not heard
  bool checkers{true};                          ///< false: `checker off`
  std::set<std::string> awaited{};              ///< local resources whose first value is being found out
  friend bool operator==(const Observed&, const Observed&) = default;
};

struct State {
  rule::Truth truth{rule::Truth::False};
  MonoTime since{};
  friend bool operator==(const State&, const State&) = default;
};

struct Memory {
  std::map<std::string, State> states{};  ///< by label
  std::uint64_t last_request{0};          ///< kept over a restart of safekitd
  std::optional<status::ActionRequest> request{};
  std::optional<MonoTime> requested{};
  std::set<std::string> off{};            ///< labels of the rules that are switched off
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Plan {
  Memory memory{};
  std::vector<std::string> wait_rules_true{};
  bool wait_rule_init{false};  ///< what a wait rule depends on is still being found out
  std::map<std::string, status::RuleVerdict> verdicts{};  ///< by label; `since` is not set
  std::map<std::string, std::string> shown{};  ///< `rule.<label>`: `true`, `false`, `init`, `off`
  std::vector<std::string> begun{};                       ///< labels whose truth has changed now
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// A request that met a module in transition was let go: while the cause lasts there is another one.
inline constexpr Duration kRepeat = seconds{1};

[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, const Memory& memory,
                          MonoTime now, std::uint64_t request_floor);

}  // namespace safekit::failover
