#pragma once

#include <utility>
#include <vector>

#include "schema/port/power.h"

namespace safekit::fake {

/// Reboots nothing; keeps what was asked for.
class KeptPower final : public Power {
 public:
  std::vector<std::function<void(const Error&)>> asked{};
  void reboot(std::function<void(const Error&)> failed) override { asked.push_back(std::move(failed)); }
};

}  // namespace safekit::fake
