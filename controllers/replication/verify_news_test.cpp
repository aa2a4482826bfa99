#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/replication/plan.h"

namespace safekit::replication {
namespace {

using ::testing::HasSubstr;
using State = control::Inspection::State;

control::Inspection verified(std::uint64_t number, std::vector<control::CopyDifference> differences) {
  return {.number = number, .state = State::Done, .files = 3, .differences = std::move(differences)};
}

TEST(VerifyNews, ADifferenceIsToldOnceAndStandsUntilAVerificationFindsNone) {
  const VerifyNews first = verify_news("db", verified(7, {{"/data/x", "mode"}, {"/data/y", "content"}}), "");
  ASSERT_EQ(first.lines.size(), 1U);
  EXPECT_EQ(first.lines[0].level, 'E');
  EXPECT_THAT(first.lines[0].text, HasSubstr("2 places, first '/data/x' (mode)"));
  EXPECT_THAT(first.lines[0].text, HasSubstr("safekit second fullsync -m db"));
  ASSERT_TRUE(first.condition);
  EXPECT_EQ(first.condition->type, "CopiesDiffer");

  const VerifyNews again = verify_news("db", verified(7, {{"/data/x", "mode"}}), first.told);
  EXPECT_TRUE(again.lines.empty());
  EXPECT_EQ(again.condition, first.condition);
  EXPECT_EQ(verify_news("db", std::nullopt, first.told).condition, first.condition);  // after a restart of safekitd

  const VerifyNews equal = verify_news("db", verified(8, {}), first.told);
  ASSERT_EQ(equal.lines.size(), 1U);
  EXPECT_EQ(equal.lines[0].level, 'I');
  EXPECT_FALSE(equal.condition);
  EXPECT_FALSE(verify_news("db", std::nullopt, equal.told).condition);
}

TEST(VerifyNews, WhatIsDoneAboutItTakesThePlaceOfWhatAPersonCanDo) {
  auto found = verified(7, {{"/data/x", "mode"}});
  found.cause = control::Inspect::Cause::Resync;
  found.reason = "what differs is synchronised again, and verified";
  const VerifyNews news = verify_news("db", found, "");
  ASSERT_TRUE(news.condition);
  EXPECT_EQ(news.condition->message,
            "the secondary's copy differs in 1 places, first '/data/x' (mode); what differs is synchronised again, and verified");
}

TEST(OutsideCondition, StandsWhileThereIsSomethingToSay) {
  EXPECT_FALSE(outside_condition({}));
  const auto condition = outside_condition({.outside_writes = 2, .outside_last = "'/data/x' by vi (pid 7)"});
  ASSERT_TRUE(condition);
  EXPECT_EQ(condition->type, "WrittenOutside");
  EXPECT_THAT(condition->message, HasSubstr("2 changes"));
  EXPECT_THAT(condition->message, HasSubstr("'/data/x' by vi (pid 7)"));
}

TEST(OldCopyCondition, SaysHowItComesBack) {
  EXPECT_FALSE(old_copy_condition("db", {.inconsistent = true}));
  const auto condition = old_copy_condition("db", {.inconsistent = true, .restorable = true});
  ASSERT_TRUE(condition);
  EXPECT_EQ(condition->type, "OldCopyKept");
  EXPECT_THAT(condition->message, HasSubstr("safekit prim -m db"));
}

TEST(VerifyNews, OnlyACompleteVerificationSaysSomething) {
  const VerifyNews before = verify_news("db", verified(7, {{"/data/x", "mode"}}), "");
  for (const State state : {State::Running, State::Failed}) {
    auto other = verified(9, {});
    other.state = state;
    EXPECT_EQ(verify_news("db", other, before.told).told, before.told);
    EXPECT_TRUE(verify_news("db", other, before.told).condition);
  }
  auto scheduled = verified(9, {});
  scheduled.state = State::Failed;
  scheduled.cause = control::Inspect::Cause::Schedule;
  scheduled.reason = "the peer was lost";
  const VerifyNews given_up = verify_news("db", scheduled, before.told);
  ASSERT_EQ(given_up.lines.size(), 1U);
  EXPECT_THAT(given_up.lines[0].text, HasSubstr("the peer was lost"));
  EXPECT_TRUE(given_up.condition);
  EXPECT_TRUE(verify_news("db", scheduled, given_up.told).lines.empty()) << "once";
  scheduled.number = 10;
  scheduled.cause = control::Inspect::Cause::Resync;
  const VerifyNews not_verified = verify_news("db", scheduled, given_up.told);
  ASSERT_EQ(not_verified.lines.size(), 1U);
  EXPECT_THAT(not_verified.lines[0].text, HasSubstr("after the synchronisation ended early: the peer was lost"));
  auto estimate = verified(9, {});
  estimate.kind = control::Inspect::Kind::Estimate;
  EXPECT_TRUE(verify_news("db", estimate, before.told).lines.empty());
}

}  // namespace
}  // namespace safekit::replication
