#pragma once

#include <string>

#include "datapath/linux/fd.h"
#include "schema/port/watchdog.h"

namespace safekit::linux_os {

/// A watchdog device of the kernel (Documentation/watchdog/watchdog-api.rst). A service.
class WatchdogDevice final : public Watchdog {
 public:
  explicit WatchdogDevice(std::string path) : path_(std::move(path)) {}
  Result<Counting> begin(Duration limit) override;
  Status feed() override;
  Status end() override;

 private:
  std::string path_;
  Fd device_{};
  bool can_be_ended_{true};
};

}  // namespace safekit::linux_os
