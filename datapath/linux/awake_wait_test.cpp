#include "datapath/linux/awake_wait.h"

#include <gtest/gtest.h>

namespace safekit::linux_os {
namespace {

constexpr MonoTime at(Duration since) { return MonoTime{} + since; }

TEST(AwakeWait, SleepsUntilAWaitWasShort) {
  AwakeWait wait;
  wait.begin(at(seconds{1}));
  EXPECT_FALSE(wait.goes_on(at(seconds{1})));
  wait.end(at(seconds{1} + microseconds{100}));
  wait.begin(at(seconds{2}));
  EXPECT_TRUE(wait.goes_on(at(seconds{2})));
  wait.end(at(seconds{3}));
  wait.begin(at(seconds{4}));
  EXPECT_FALSE(wait.goes_on(at(seconds{4}))) << "the last one was long";
}

TEST(AwakeWait, LooksForAMoment) {
  AwakeWait wait;
  wait.end(at(Duration{0}));
  wait.begin(at(seconds{1}));
  EXPECT_TRUE(wait.goes_on(at(seconds{1} + AwakeWait::kShort - microseconds{1})));
  EXPECT_FALSE(wait.goes_on(at(seconds{1} + AwakeWait::kShort)));
}

TEST(AwakeWait, LeavesTheProcessorToWhoHasTakenIt) {
  AwakeWait wait;
  wait.end(at(Duration{0}));
  wait.begin(at(seconds{1}));
  EXPECT_TRUE(wait.goes_on(at(seconds{1} + microseconds{50})));
  EXPECT_TRUE(wait.has_processor(at(seconds{1} + microseconds{52})));
  EXPECT_FALSE(wait.has_processor(at(seconds{1} + microseconds{50} + AwakeWait::kTaken)));
}

}  // namespace
}  // namespace safekit::linux_os
