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

TEST(AwakeWait, LeavesTheProcessorToWhoHasTakenItForAWhile) {
  AwakeWait wait;
  wait.end(at(Duration{0}));
  wait.begin(at(seconds{1}));
  EXPECT_TRUE(wait.goes_on(at(seconds{1} + microseconds{50})));
  EXPECT_TRUE(wait.has_processor(at(seconds{1} + microseconds{52})));
  EXPECT_TRUE(wait.goes_on(at(seconds{1} + microseconds{60})));
  EXPECT_FALSE(wait.has_processor(at(seconds{1} + microseconds{60} + AwakeWait::kTaken)));
  wait.end(at(seconds{1} + microseconds{200}));
  for (std::uint32_t i = 1; i < AwakeWait::kSleeps; ++i) {
    wait.begin(at(seconds{2}));
    EXPECT_FALSE(wait.goes_on(at(seconds{2}))) << i;
    wait.end(at(seconds{2} + microseconds{10}));
  }
  wait.begin(at(seconds{3}));
  EXPECT_TRUE(wait.goes_on(at(seconds{3})));
}

}  // namespace
}  // namespace safekit::linux_os
