#include <gtest/gtest.h>

#include "controllers/replication/plan.h"

namespace safekit::replication {
namespace {

constexpr Duration kWeek = hours{168};
constexpr WallTime kNow{1'700'000'000'000'000'000};
constexpr MonoTime kMono{5'000'000'000'000'000};

WallTime before(Duration by) { return WallTime{kNow.ns - by.count()}; }
ScheduleStep at_now(const ScheduleInput& input) { return schedule(input, kNow, kMono); }

TEST(VerifySchedule, WithoutTheSettingNothingHappens) {
  EXPECT_EQ(at_now({.able = true, .last = before(kWeek)}), ScheduleStep{});
}

TEST(VerifySchedule, TheFirstOneCountsFromTheSetting) {
  EXPECT_EQ(at_now({.every = kWeek, .able = true}), (ScheduleStep{.last = kNow, .recheck_after = kWeek}));
}

TEST(VerifySchedule, BeginsWhenItIsDueAndNotBefore) {
  EXPECT_EQ(at_now({.every = kWeek, .able = true, .last = before(kWeek - seconds{3})}),
            (ScheduleStep{.recheck_after = seconds{3}}));
  EXPECT_EQ(at_now({.every = kWeek, .able = true, .last = before(kWeek)}), ScheduleStep{.begin = true});
  EXPECT_EQ(at_now({.every = seconds{1}, .able = true, .last = before(kWeek)}), ScheduleStep{.begin = true});
}

TEST(VerifySchedule, OneThatIsDueWaitsUntilItCanBegin) {
  for (const bool able : {false, true}) {
    for (const bool busy : {false, true}) {
      const ScheduleStep step = at_now({.every = kWeek, .able = able, .busy = busy, .last = before(2 * kWeek)});
      EXPECT_EQ(step, ScheduleStep{.begin = able && !busy});
    }
  }
}

TEST(VerifySchedule, OneThatWasGivenUpIsTriedAgainAfterAPause) {
  const ScheduleInput weekly{.every = kWeek, .able = true, .last = before(kWeek), .failed = kMono - minutes{20}};
  EXPECT_EQ(at_now(weekly), (ScheduleStep{.recheck_after = minutes{40}}));
  ScheduleInput often = weekly;
  often.every = minutes{30};
  EXPECT_EQ(at_now(often), (ScheduleStep{.recheck_after = minutes{10}}));
  ScheduleInput later = weekly;
  later.failed = kMono - kVerifyAgain;
  EXPECT_EQ(at_now(later), ScheduleStep{.begin = true});
}

TEST(VerifySchedule, AClockThatWasSetBackPutsItOffByOnePeriodAtMost) {
  EXPECT_EQ(at_now({.every = kWeek, .able = true, .last = WallTime{kNow.ns + hours{10'000} / Duration{1}}}),
            (ScheduleStep{.last = kNow, .recheck_after = kWeek}));
}

}  // namespace
}  // namespace safekit::replication
