#include "datapath/replica/outside_watch.h"

#include <gtest/gtest.h>

#include "schema/fake/kept_log.h"
#include "schema/fake/manual_clock.h"

namespace safekit::replica {
namespace {

constexpr MonoTime kNow{1'000'000'000'000};

TEST(OutsideWatch, TheCopiesMeetAMomentAfterSomethingWasFoundAndNotAgainForAWhile) {
  EXPECT_EQ(compare_at({}), std::nullopt);
  EXPECT_EQ(compare_at({.compared = kNow}), std::nullopt);
  EXPECT_EQ(compare_at({.found = kNow}), kNow + kCompareAfter);
  EXPECT_EQ(compare_at({.found = kNow, .compared = kNow - seconds{5}}), kNow + kCompareEvery - seconds{5});
  EXPECT_EQ(compare_at({.found = kNow, .compared = kNow - hours{1}}), kNow + kCompareAfter);
}

Outside changed(const std::string& key) {
  Outside one;
  (void)one.changes.add({.kind = journal::ActivityEntry::Kind::Names, .key = key});
  return one;
}

TEST(OutsideChanges, WhatIsAddedAfterThePeerWasToldOutlivesTheMeeting) {
  fake::ManualClock clock;
  fake::KeptLog log;
  OutsideChanges changes{{}, clock, log};
  const std::stop_source never;
  ASSERT_TRUE(changes.await(never.get_token())->empty());
  changes.add(changed("one"));
  EXPECT_TRUE(changes.grew());
  EXPECT_EQ(changes.tell()->changes, changed("one").changes);
  EXPECT_FALSE(changes.grew());
  changes.add(changed("two"));
  EXPECT_TRUE(changes.grew());
  EXPECT_EQ(changes.known()->changes.inodes.size(), 2U);
  changes.settle();
  EXPECT_EQ(changes.known()->changes, changed("two").changes);
  EXPECT_FALSE(changes.grew()) << "it is what is to be told next";
  (void)changes.tell();
  changes.settle();
  EXPECT_TRUE(changes.known()->empty());
}

TEST(OutsideChanges, WhatIsNotKnownStaysUnknown) {
  Outside all = changed("one");
  all.add({.unknown = "the queue ran over"});
  EXPECT_TRUE(all.changes.empty());
  EXPECT_EQ(all.unknown, "the queue ran over");
  all.add(changed("two"));
  EXPECT_EQ(all.unknown, "the queue ran over");
  EXPECT_TRUE(all.changes.empty());
}

}  // namespace
}  // namespace safekit::replica
