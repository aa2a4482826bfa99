#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/rule/rule.h"

namespace safekit::rule {

/// Something wrong in a text of rules, for people. Line and column count from 1.
struct Problem {
  int line{1};
  int column{1};
  std::string what{};
  std::string fix{};
  friend bool operator==(const Problem&, const Problem&) = default;
};
struct Parsed {
  std::vector<Rule> rules{};
  std::vector<Problem> problems{};  ///< each in a rule of its own, which is left out
};

/// Where `remote.` has a meaning.
enum class Peers { One, Several };

/// The first line that is not empty says `--Lua Rules`: a text in Lua, not in the classic language.
[[nodiscard]] bool is_lua(std::string_view text);

/// Rules of the classic language. Total: any text. Precedence is that of C; at most kDepthMax brackets and
/// `!` within each other. Source: spec/runtime.md 3.2.
inline constexpr int kDepthMax = 64;
[[nodiscard]] Parsed parse(std::string_view text, Peers peers = Peers::One);

}  // namespace safekit::rule
