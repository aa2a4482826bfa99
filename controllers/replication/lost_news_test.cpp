#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/replication/plan.h"

namespace safekit::replication {
namespace {

using ::testing::HasSubstr;

lost::Summary set_of(const std::string& name, std::int64_t ended, std::uint64_t missed = 0) {
  return {.name = name, .node = "a", .peer = "b", .ended = WallTime{ended}, .items = 3, .bytes = 70, .missed_bytes = missed,
          .missed_items = missed == 0 ? 0U : 1U};
}

TEST(LostNews, EachSetIsToldOnceAndStandsAsACondition) {
  const LostNews first = lost_news("db", {set_of("S1", 5)}, "");
  ASSERT_EQ(first.lines.size(), 1U);
  EXPECT_EQ(first.lines[0].level, 'E');
  EXPECT_THAT(first.lines[0].text, HasSubstr("3 items, 70 bytes (safekit lost-writes show S1 -m db)"));
  EXPECT_EQ(first.told, "S1");
  ASSERT_TRUE(first.condition);
  EXPECT_EQ(first.condition->type, "LostWrites");
  EXPECT_EQ(first.condition->reason, "SetAside");
  const LostNews second = lost_news("db", {set_of("S1", 5), set_of("S2", 6, 9)}, first.told);
  ASSERT_EQ(second.lines.size(), 1U);
  EXPECT_THAT(second.lines[0].text, HasSubstr("9 bytes more found no room"));
  EXPECT_EQ(second.told, "S1 S2");
  EXPECT_EQ(second.condition->reason, "PartlyLost");
  EXPECT_THAT(second.condition->message, HasSubstr("2 sets: 6 items, 140 bytes"));
  EXPECT_TRUE(lost_news("db", {set_of("S1", 5), set_of("S2", 6, 9)}, second.told).lines.empty());
}

TEST(LostNews, WhatOthersChangedIsToldAsTheirs) {
  lost::Summary set = set_of("S1", 5);
  EXPECT_THAT(lost_news("db", {set}, "").lines[0].text, HasSubstr("What this node wrote alone was overwritten by the copy of b"));
  set.by_others = true;
  EXPECT_THAT(lost_news("db", {set}, "").lines[0].text, HasSubstr("What others changed in this node's copy"));
}

TEST(LostNews, AnUnfinishedSetIsAConditionOnlyAndAnEmptyOneNothing) {
  const LostNews unfinished = lost_news("db", {set_of("S1", 0)}, "");
  EXPECT_TRUE(unfinished.lines.empty());
  EXPECT_TRUE(unfinished.condition);
  EXPECT_EQ(lost_news("db", {lost::Summary{.name = "S1"}}, ""), LostNews{});
  EXPECT_EQ(lost_news("db", {}, "S1"), LostNews{});  // purged
}

}  // namespace
}  // namespace safekit::replication
