#include "datapath/linux/preflight_probe.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace safekit::linux_os {
namespace {

TEST(PreflightProbe, MeasuresAFileSystemAndLeavesNothing) {
  char name[] = "/tmp/sk-sync-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  const auto measured = measure_sync(directory);
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  std::filesystem::remove(directory);
  ASSERT_TRUE(measured.has_value()) << measured.error().what;
  EXPECT_EQ(measured->path, directory);
  EXPECT_GT(measured->median, Duration{});
  EXPECT_GE(measured->worst, measured->median);
  EXPECT_FALSE(measure_sync("/proc/self/none").has_value());
}

TEST(PreflightProbe, ComparesReleases) {
  EXPECT_TRUE(is_at_least("5.15.0-91-generic", 5, 15));
  EXPECT_TRUE(is_at_least("6.1.0", 5, 15));
  EXPECT_FALSE(is_at_least("5.4.0", 5, 15));
  EXPECT_FALSE(is_at_least("unknown", 5, 15));
}

}  // namespace
}  // namespace safekit::linux_os
