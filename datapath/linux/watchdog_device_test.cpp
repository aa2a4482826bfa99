#include "datapath/linux/watchdog_device.h"

#include <gtest/gtest.h>

/// What a device does: e2e/vm/watchdog.py.
namespace safekit::linux_os {

TEST(WatchdogDevice, WhatIsNoWatchdogIsNamed) {
  const auto missing = WatchdogDevice{"/dev/no-such-watchdog"}.begin(std::chrono::seconds{5});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::NotFound);
  EXPECT_EQ(missing.error().what, "'/dev/no-such-watchdog' cannot be opened: No such file or directory");
  for (const char* path : {"/dev/null", "/etc/passwd"}) {
    const auto other = WatchdogDevice{path}.begin(std::chrono::seconds{5});
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Code::Unsupported) << other.error().what;
  }
}

}  // namespace safekit::linux_os
