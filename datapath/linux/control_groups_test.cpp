#include "datapath/linux/control_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace safekit::linux_os {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ControlGroups, FindAndEndWhatLeftItsSession) {
  ControlGroups groups;
  if (!groups.problem().empty()) GTEST_SKIP() << groups.problem();
  const std::string module = "unit-test-" + std::to_string(::getpid());
  const std::string name = module + "/1";
  ASSERT_TRUE(groups.make(name));
  EXPECT_FALSE(groups.is_populated(module));
  int inside[2];
  ASSERT_EQ(::pipe(inside), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    std::ofstream{groups.directory(name) + "/cgroup.procs"} << 0 << std::flush;
    (void)!::write(inside[1], "i", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(inside[0], &byte, 1), 1);
  ::close(inside[0]);
  ::close(inside[1]);
  EXPECT_THAT(groups.processes(module), ElementsAre(child));
  EXPECT_TRUE(groups.is_populated(module));
  groups.tidy(module, {});
  EXPECT_TRUE(std::filesystem::exists(groups.directory(name)));
  EXPECT_TRUE(groups.kill(module));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_FALSE(groups.is_populated(module));
  groups.tidy(module, {name});
  EXPECT_TRUE(std::filesystem::exists(groups.directory(name)));
  groups.tidy(module, {});
  EXPECT_FALSE(std::filesystem::exists(groups.directory(module)));
  EXPECT_TRUE(groups.kill(module));
  EXPECT_THAT(groups.processes(module), IsEmpty());
}

}  // namespace
}  // namespace safekit::linux_os
