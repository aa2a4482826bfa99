#pragma once

#include "schema/base/time.h"

namespace safekit {

/// Now. Thread: any. `mono_now` measures; `wall_now` is only stored and shown.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonoTime mono_now() const = 0;
  [[nodiscard]] virtual WallTime wall_now() const = 0;
};

}  // namespace safekit
