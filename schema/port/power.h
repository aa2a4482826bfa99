#pragma once

#include <functional>

#include "schema/base/result.h"

namespace safekit {

/// The power of this machine. Thread: the loop's.
class Power {
 public:
  virtual ~Power() = default;
  /// Asks for an orderly reboot of the node; whatever runs here ends soon after. `failed` runs once if there will be none: Denied where
  /// this program may not reboot the node, Io where the system does not take it. It may run before the call returns.
  virtual void reboot(std::function<void(const Error&)> failed) = 0;
};

}  // namespace safekit
