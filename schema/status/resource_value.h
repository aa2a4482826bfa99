#pragma once

#include <string>

#include "schema/base/time.h"

namespace safekit::status {

/// A named value that checkers set and failover rules test, such as `tcp.web` = `down` (spec/runtime.md 3.4).
struct ResourceValue {
  std::string value{"init"};
  WallTime assigned{};
  std::string source{};  ///< who set it
  friend bool operator==(const ResourceValue&, const ResourceValue&) = default;
};

}  // namespace safekit::status
