#pragma once

#include "schema/port/power.h"
#include "schema/port/process.h"

namespace safekit::linux_os {

/// Reboots by systemd, so that all services end in order (systemctl(1)), and only where it was permitted to. A service.
class SystemPower final : public Power {
 public:
  SystemPower(Processes& processes, bool permitted) : processes_(processes), permitted_(permitted) {}
  void reboot(std::function<void(const Error&)> failed) override;

 private:
  Processes& processes_;
  bool permitted_;
};

}  // namespace safekit::linux_os
