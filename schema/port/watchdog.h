#pragma once

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

/// A watchdog of this machine: once it counts it resets the machine, unless it is fed in time. Thread: the loop's.
class Watchdog {
 public:
  struct Counting {
    Duration limit{};           ///< what the device made of the one asked for
    bool can_be_ended{true};    ///< false: built or loaded with `nowayout`
  };
  virtual ~Watchdog() = default;
  /// From here on it counts. Errors: NotFound, Conflict (another program has it), Unsupported (not a watchdog), Io.
  virtual Result<Counting> begin(Duration limit) = 0;
  virtual Status feed() = 0;
  /// It counts no more. Without this it goes on counting, also when this process has ended. Errors: Unsupported where it cannot be ended.
  virtual Status end() = 0;
};

}  // namespace safekit
