#include "datapath/linux/power.h"

#include <gtest/gtest.h>

#include "schema/fake/scripted_process.h"

namespace safekit::linux_os {
namespace {

TEST(SystemPower, WithoutPermissionNothingIsStarted) {
  fake::ScriptedProcesses processes;
  SystemPower power{processes, false};
  std::optional<Error> failed;
  power.reboot([&](const Error& error) { failed = error; });
  EXPECT_TRUE(processes.started.empty());
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->code, Code::Denied);
}

TEST(SystemPower, SystemdRebootsAndItsRefusalIsTold) {
  fake::ScriptedProcesses processes;
  SystemPower power{processes, true};
  std::optional<Error> failed;
  for (const int code : {0, 1}) {
    power.reboot([&](const Error& error) { failed = error; });
    EXPECT_EQ(processes.started.back().argv, (std::vector<std::string>{"/usr/bin/systemctl", "reboot"}));
    processes.end(processes.running.begin()->first, {.code = code});
    EXPECT_EQ(failed.has_value(), code != 0);
  }
}

}  // namespace
}  // namespace safekit::linux_os
