#pragma once

#include <vector>

#include "schema/rule/rule.h"
#include "schema/spec/module.h"

namespace safekit::check {

/// The rules of a module in their order: the default ones, those made for checkers with an action, and the
/// user's, which replace a rule of the same label or disable it; with `extends: false` the user's alone. What
/// is no rule is left out (validate tells of it). Source: spec/runtime.md 3.1, 3.5.
[[nodiscard]] std::vector<rule::Rule> failover_rules(const spec::Module& module);

}  // namespace safekit::check
