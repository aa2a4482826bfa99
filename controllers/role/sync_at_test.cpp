#include "controllers/role/sync_at.h"

#include <gtest/gtest.h>

namespace safekit::role {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// Everything in one day, in a zone two hours east.
CalendarMinute two_hours_east(WallTime at) {
  const auto minute = static_cast<int>(at.ns / (60 * kSecond)) + 120;
  return {.minute = minute % 60, .hour = minute / 60, .day = 1, .month = 1, .weekday = 1};
}

WallTime at(int hour, int minute, int second = 0) { return {((hour * 60LL + minute) * 60 + second) * kSecond}; }

Dates look(std::optional<WallTime> looked, WallTime now) {
  return look_at_dates(*Crontab::parse("30 12 * * *"), looked, now, two_hours_east);
}

}  // namespace

TEST(SyncAt, ADatePassesOnceOnTheLocalClock) {
  EXPECT_EQ(look({}, at(10, 30, 1)), (Dates{.passed = false, .looked = at(10, 30), .recheck_after = kDatesLook})) << "the first look";
  EXPECT_FALSE(look(at(10, 28), at(10, 29, 59)).passed);
  EXPECT_EQ(look(at(10, 28), at(10, 29, 55)).recheck_after, seconds{5});
  EXPECT_EQ(look(at(10, 29), at(10, 30)), (Dates{.passed = true, .looked = at(10, 30), .recheck_after = kDatesLook}));
  EXPECT_FALSE(look(at(10, 30), at(10, 30, 59)).passed);
  EXPECT_FALSE(look(at(10, 30), at(10, 31)).passed);
}

TEST(SyncAt, ADateIsCaughtUpForAnHourAndNotWhenTheClockGoesBack) {
  EXPECT_TRUE(look(at(9, 0), at(11, 29)).passed);
  EXPECT_FALSE(look(at(9, 0), at(11, 30)).passed);
  EXPECT_FALSE(look(at(12, 0), at(10, 30)).passed);
  EXPECT_EQ(look(at(12, 0), at(10, 30)).looked, at(10, 30));
}

TEST(SyncAt, CountsForWhoMayBeTheSecondary) {
  const Desired desired{.replicates = true, .sync_at = "* * * * *"};
  Memory memory{.started = true};
  for (const Role role : {Role::Stop, Role::Wait, Role::Second}) {
    memory.section.role = role;
    EXPECT_TRUE(follows_dates(desired, memory));
  }
  for (const Role role : {Role::Alone, Role::Prim}) {
    memory.section.role = role;
    EXPECT_FALSE(follows_dates(desired, memory));
  }
  memory = {};
  EXPECT_FALSE(follows_dates(desired, memory)) << "not started";
  memory.started = true;
  EXPECT_FALSE(follows_dates({.replicates = true}, memory)) << "no syncAt";
}

}  // namespace safekit::role
