#include "datapath/resync/pace.h"

#include <gtest/gtest.h>

namespace safekit::resync {
namespace {

constexpr MonoTime kNow{1'000};

TEST(Pace, WorkBeginsWhenTheOneBeforeIsPaidFor) {
  Pace pace{1000};
  EXPECT_EQ(pace.begin_of(500, kNow), kNow);
  EXPECT_EQ(pace.begin_of(2000, kNow), kNow + milliseconds{500});
  EXPECT_EQ(pace.begin_of(1, kNow), kNow + milliseconds{2500});
}

TEST(Pace, WhatWasNotUsedDoesNotAddUp) {
  Pace pace{1000};
  (void)pace.begin_of(100, kNow);
  const MonoTime later = kNow + hours{1};
  EXPECT_EQ(pace.begin_of(1000, later), later);
  EXPECT_EQ(pace.begin_of(1000, later), later + seconds{1});
}

TEST(Pace, NoLimit) {
  Pace pace;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pace.begin_of(1ULL << 50, kNow), kNow);
}

}  // namespace
}  // namespace safekit::resync
