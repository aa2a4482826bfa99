#include "controllers/role/elapsed.h"

#include <gtest/gtest.h>

namespace safekit::role {
namespace {

constexpr WallTime kNow{1'000'000'000'000'000};

WallTime ago(Duration duration) { return {kNow.ns - duration.count()}; }

TEST(RoleElapsed, EachLengthIsMeasuredFromItsOwnMoment) {
  const Desired desired{.loop_interval = hours{24}};
  Memory memory{};
  EXPECT_EQ(elapsed(desired, memory, kNow), Elapsed{}) << "a moment that was never noted has not passed";
  memory.section.since = ago(seconds{6});
  EXPECT_EQ(elapsed(desired, memory, kNow), (Elapsed{.reconnect_grace = true}));
  memory.section.since = ago(seconds{5});
  memory.doubted = ago(seconds{2});
  EXPECT_EQ(elapsed(desired, memory, kNow), (Elapsed{.report_grace = true}));
  memory.doubted = ago(seconds{1});
  memory.loop_began = ago(hours{25});
  EXPECT_EQ(elapsed(desired, memory, kNow), (Elapsed{.loop_interval = true}));
  memory.loop_last = ago(hours{25});
  EXPECT_EQ(elapsed(desired, memory, kNow), (Elapsed{.loop_interval = true, .loop_interval_of_last = true}));
  memory.loop_began = memory.loop_last = ago(hours{24});
  EXPECT_EQ(elapsed(desired, memory, kNow), Elapsed{});
}

TEST(RoleElapsed, AClockThatWasSetBackHoldsNothingUp) {
  Memory memory{};
  memory.section.since = memory.doubted = memory.loop_began = ago(-hours{1});
  EXPECT_EQ(elapsed({}, memory, kNow), (Elapsed{.reconnect_grace = true, .doubt_is_ahead = true, .loop_interval = true}));
}

}  // namespace
}  // namespace safekit::role
