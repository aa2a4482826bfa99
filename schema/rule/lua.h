#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/rule/parse.h"

namespace safekit::rule {

/// What a text of rules in Lua makes of the rules.
struct LuaRules {
  std::vector<Rule> rules{};
  std::vector<std::string> disabled{};  ///< labels of rules that are to be left out, of whatever origin
  std::vector<Problem> problems{};
};

/// Runs the text, which knows `Rules`, `Action`, `if_then` and the language itself, but no library: it can
/// reach nothing outside, and is ended after kLuaStepsMax instructions or kLuaBytesMax of memory. `_group` is
/// read and means nothing. Total: any text. Thread: any. Source: spec/config.md 2.13, language B.
inline constexpr int kLuaStepsMax = 100'000;
inline constexpr std::size_t kLuaBytesMax = 1U << 20;  ///< small, for a step may copy or compare so much
[[nodiscard]] LuaRules run_lua(std::string_view text, Peers peers = Peers::One);

}  // namespace safekit::rule
