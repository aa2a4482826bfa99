#pragma once

#include <string>

#include "schema/base/time.h"

namespace safekit::status {

/// Kubernetes' shape: something about an object that is true or not, and why. A value.
struct Condition {
  std::string type{};     ///< `Ready`, `DataUpToDate`, `ConfigConflict`, `NotHonoured` ...
  bool is_true{false};
  std::string reason{};   ///< one CamelCase word
  std::string message{};  ///< for people: what, where, and the fix
  WallTime since{};       ///< last change of `is_true`
  friend bool operator==(const Condition&, const Condition&) = default;
};

}  // namespace safekit::status
