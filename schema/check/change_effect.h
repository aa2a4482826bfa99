#pragma once

#include <string_view>
#include <vector>

#include "schema/check/diff.h"

namespace safekit::check {

/// When a changed field of a module that runs is in force. Each is more than the one before.
enum class Effect {
  InPlace,    ///< at once
  Restart,    ///< when the application is started again (`safekit restart`)
  NextStart,  ///< when the module is started again on the node (`safekit stopstart`)
  Stop,       ///< it may only be changed while the module is stopped on all nodes
};

/// Of a path that `diff` of two modules gives. Pure. Source: spec/config.md 5; the table with our reasons is
/// docs/dynamic-configuration.md.
[[nodiscard]] Effect effect_of(std::string_view path);

/// `in place`, `restart`, `next start`, `stop`.
[[nodiscard]] std::string_view to_string(Effect effect);

/// Those of the changes that a module which runs cannot take.
[[nodiscard]] std::vector<FieldChange> needing_stop(const std::vector<FieldChange>& changes);

}  // namespace safekit::check
