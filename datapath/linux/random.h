#pragma once

#include "schema/port/random.h"

namespace safekit::linux_os {

/// getrandom(2). A service without state. Thread: any.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

}  // namespace safekit::linux_os
