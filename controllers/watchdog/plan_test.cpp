#include "controllers/watchdog/plan.h"

#include <gtest/gtest.h>

namespace safekit::watchdog {
namespace {

using enum Plan::Act;

constexpr MonoTime kNow{Duration{seconds{100}}.count()};

TEST(WatchdogPlan, CountsWhileAModuleIsStarted) {
  EXPECT_EQ(decide({}, kNow), Plan{});
  EXPECT_EQ(decide({.is_needed = true}, kNow).act, Begin);
  EXPECT_EQ(decide({.counts = true, .limit = seconds{20}, .fed = kNow}, kNow), Plan{.act = End});
}

TEST(WatchdogPlan, IsFedFourTimesWithinItsLimit) {
  const Observed counting{.is_needed = true, .counts = true, .limit = seconds{20}, .fed = kNow};
  EXPECT_EQ(decide(counting, kNow + seconds{4}), (Plan{.recheck_after = seconds{1}}));
  EXPECT_EQ(decide(counting, kNow + seconds{5}), (Plan{.act = Feed, .recheck_after = seconds{5}}));
}

TEST(WatchdogPlan, OneThatCannotBeEndedIsFedOn) {
  EXPECT_EQ(decide({.counts = true, .can_be_ended = false, .limit = seconds{20}, .fed = kNow}, kNow + seconds{6}).act, Feed);
}

TEST(WatchdogPlan, OneThatWasLeftCountingIsTakenUp) {
  EXPECT_EQ(decide({.left_counting = true}, kNow).act, Begin);
  EXPECT_EQ(decide({.left_counting = true, .counts = true, .limit = seconds{20}, .fed = kNow}, kNow).act, End);
}

TEST(WatchdogPlan, OneThatCannotBeHadIsTriedAgain) {
  const Observed failed{.is_needed = true, .failed = kNow};
  EXPECT_EQ(decide(failed, kNow + seconds{4}), (Plan{.recheck_after = kBeginAgain - seconds{4}}));
  EXPECT_EQ(decide(failed, kNow + kBeginAgain).act, Begin);
}

}  // namespace
}  // namespace safekit::watchdog
