#include "controllers/lease/plan.h"

#include <gtest/gtest.h>

namespace safekit::lease {
namespace {

using Section = status::LeaseSection;

/// Plans one after the other, on one clock.
class LeasePlan : public testing::Test {
 protected:
  LeasePlan() {
    desired.witness = Section::Witness::Grants;
    desired.need = status::LeaseNeed::Needed;
    desired.lease = {.place = {.kind = WitnessPlace::Kind::Etcd, .addresses = {"http://e"}}, .name = "n", .holder = "a", .length = seconds{10}};
  }
  Plan pass(std::optional<Answer> answer = {}) {
    Plan plan = decide(desired, answer, memory, now);
    memory = plan.memory;
    return plan;
  }
  Plan later(Duration time, std::optional<Answer> answer = {}) {
    now = now + time;
    return pass(std::move(answer));
  }
  static Answer granted(const Ask& ask, const std::string& id = "7") {
    return {ask.number, LeaseReply{.granted = true, .id = id, .length = seconds{10}}};
  }
  static Answer refused(const Ask& ask) { return {ask.number, LeaseReply{.holder = "b", .detail = "'b' holds the lease"}}; }
  static Answer silent(const Ask& ask) { return {ask.number, Error{Code::Unavailable, "nothing answers"}}; }
  [[nodiscard]] Section::Answer answer() const { return memory.section.answer; }

  Desired desired{};
  Memory memory{};
  MonoTime now{Duration{seconds{100}}.count()};
};

TEST_F(LeasePlan, AsksOnlyWhileItIsWanted) {
  desired.need = status::LeaseNeed::None;
  EXPECT_FALSE(pass().ask.has_value());
  EXPECT_EQ(memory.section, (Section{.witness = Section::Witness::Grants}));
  desired.need = status::LeaseNeed::Needed;
  const Plan plan = pass();
  ASSERT_TRUE(plan.ask.has_value());
  EXPECT_EQ(plan.ask->limit, kAskLimit);
  EXPECT_EQ(answer(), Section::Answer::Asked);
  EXPECT_FALSE(pass().ask.has_value());
}

TEST_F(LeasePlan, TheLeaseCountsFromBeforeTheQuestion) {
  const MonoTime asked = now;
  const Plan first = pass();
  const Plan plan = later(milliseconds{800}, granted(*first.ask));
  EXPECT_EQ(memory.section, (Section{.witness = Section::Witness::Grants, .answer = Section::Answer::Granted,
                                     .until = asked + seconds{10} - milliseconds{20}}));
  EXPECT_EQ(plan.lines, (std::vector<Line>{{'I', "Resource splitbrain.uptodate set to up by splitbraincheck"}}));
  EXPECT_EQ(plan.recheck_after, asked + Duration{seconds{10}} / 3 - now);
}

TEST_F(LeasePlan, IsRenewedByItsIdAndRunsOutWhenThatFails) {
  pass(granted(*pass().ask));
  const MonoTime until = memory.section.until;
  const Plan renewal = later(milliseconds{3334});
  ASSERT_TRUE(renewal.ask.has_value());
  EXPECT_EQ(memory.asked_for.id, "7");
  later(seconds{1}, granted(*renewal.ask));
  EXPECT_EQ(memory.section.until, until + milliseconds{3334});
  now = memory.section.until - seconds{2};
  const Plan failing = pass();
  const Plan again = later(seconds{1}, silent(*failing.ask));
  EXPECT_EQ(answer(), Section::Answer::Granted);  // it is good for as long as it was granted
  EXPECT_EQ(again.recheck_after, kAskAgain);
  now = memory.section.until;
  const Plan over = pass();
  EXPECT_EQ(memory.section, (Section{.witness = Section::Witness::Grants, .answer = Section::Answer::Silent,
                                     .detail = "the lease ran out: nothing answers"}));
  EXPECT_EQ(over.lines.at(0), (Line{'E', "Resource splitbrain.uptodate set to down by splitbraincheck"}));
  ASSERT_TRUE(over.ask.has_value());  // and it is asked again
  pass(granted(*over.ask, "8"));
  EXPECT_EQ(answer(), Section::Answer::Granted);
}

TEST_F(LeasePlan, AnAnswerThatComesAfterTheLeaseGrantsNothing) {
  const Plan plan = pass();
  later(seconds{10}, granted(*plan.ask));
  EXPECT_EQ(answer(), Section::Answer::Silent);
}

TEST_F(LeasePlan, WhoIsRefusedAsksAgain) {
  const Plan plan = pass(refused(*pass().ask));
  EXPECT_EQ(memory.section, (Section{.witness = Section::Witness::Grants, .answer = Section::Answer::Refused, .detail = "'b' holds the lease"}));
  EXPECT_EQ(plan.lines.at(1), (Line{'E', "The witness does not let this node go on alone: 'b' holds the lease"}));
  EXPECT_EQ(plan.recheck_after, kAskLater);
  const Plan again = later(kAskLater);
  ASSERT_TRUE(again.ask.has_value());
  pass(silent(*again.ask));
  EXPECT_EQ(answer(), Section::Answer::Silent);  // whether the other one still has it nobody says
  pass(granted(*later(kAskLater).ask));
  EXPECT_EQ(answer(), Section::Answer::Granted);
}

TEST_F(LeasePlan, AHolderThatIsRefusedBelievesItAtOnce) {
  pass(granted(*pass().ask));
  pass(refused(*later(seconds{4}).ask));
  EXPECT_EQ(answer(), Section::Answer::Refused);
  EXPECT_EQ(memory.section.until, MonoTime{});
}

TEST_F(LeasePlan, AWitnessThatHasLostItsFileIsASilentOne) {
  pass({{pass().ask->number, LeaseReply{.detail = "it grants nothing for 60s"}}});
  EXPECT_EQ(answer(), Section::Answer::Silent);
}

TEST_F(LeasePlan, SilenceIsSaidAfterAWhile) {
  const Plan first = pass();
  EXPECT_EQ(first.recheck_after, kPatience);
  later(milliseconds{10}, silent(*first.ask));
  EXPECT_EQ(answer(), Section::Answer::Asked);
  const Plan second = later(kAskAgain);
  ASSERT_TRUE(second.ask.has_value());
  later(kPatience - kAskAgain - milliseconds{10});  // the second is still under way
  EXPECT_EQ(answer(), Section::Answer::Silent);
  EXPECT_EQ(memory.section.detail, "nothing answers");
  pass(granted(*second.ask));
  EXPECT_EQ(answer(), Section::Answer::Granted);
}

TEST_F(LeasePlan, IsGivenBackWhenThePairIsComplete) {
  pass(granted(*pass().ask));
  desired.need = status::LeaseNeed::None;
  EXPECT_FALSE(pass().ask.has_value()) << "it is not renewed; nobody else gets it";
  EXPECT_EQ(memory.section, (Section{.witness = Section::Witness::Grants}));
  desired.need = status::LeaseNeed::GivenBack;
  const Plan asked = pass();
  ASSERT_TRUE(asked.ask.has_value());
  EXPECT_TRUE(memory.asked_for.only_mine);
  const Plan plan = pass(granted(*asked.ask, "8"));
  ASSERT_TRUE(plan.release.has_value());
  EXPECT_EQ(memory.giving_back.id, "8");
  EXPECT_EQ(answer(), Section::Answer::NotAsked) << "that was no grant";
  EXPECT_TRUE(plan.lines.empty());
  const Plan done = pass(Answer{plan.release->number, LeaseReply{}});
  EXPECT_FALSE(done.ask || done.release);
  EXPECT_EQ(done.recheck_after, kLookAgain) << "a question of before may come late, and be granted";
  EXPECT_TRUE(later(kLookAgain).ask.has_value());
}

TEST_F(LeasePlan, GivingBackHoldsNoQuestionUp) {
  desired.need = status::LeaseNeed::GivenBack;
  const Plan giving = pass();
  desired.need = status::LeaseNeed::Needed;
  const Plan asked = pass();
  ASSERT_TRUE(asked.ask.has_value());
  EXPECT_FALSE(memory.asked_for.only_mine);
  pass(Answer{giving.ask->number, LeaseReply{}});
  EXPECT_EQ(answer(), Section::Answer::Asked) << "what it was told about giving back is no refusal";

  desired.need = status::LeaseNeed::GivenBack;
  pass();
  pass(Answer{memory.under_way, LeaseReply{}});
  desired.need = status::LeaseNeed::Needed;
  EXPECT_TRUE(pass().ask.has_value()) << "at once, not when it would look again";
}

TEST_F(LeasePlan, AWitnessThatCannotBeToldIsToldLater) {
  desired.need = status::LeaseNeed::GivenBack;
  const Plan asked = pass();
  EXPECT_FALSE(later(seconds{1}, silent(*asked.ask)).ask.has_value());
  const Plan again = later(kGiveBackAgain);
  ASSERT_TRUE(again.ask.has_value());
  const Plan told = pass(granted(*again.ask));
  later(seconds{1}, silent(*told.release));
  const Plan anew = later(kGiveBackAgain);
  ASSERT_TRUE(anew.ask.has_value()) << "from the beginning: it may have another id by then";
  EXPECT_EQ(pass(Answer{anew.ask->number, LeaseReply{}}).recheck_after, kLookAgain) << "the witness holds nothing of this node";
}

TEST_F(LeasePlan, WhatWasUnderWayWhenItEndedIsNotBelieved) {
  pass(granted(*pass().ask));
  const Plan renewal = later(seconds{4});
  desired.need = status::LeaseNeed::None;
  pass();
  desired.need = status::LeaseNeed::Needed;
  const Plan anew = pass();
  ASSERT_TRUE(anew.ask.has_value());
  EXPECT_EQ(memory.asked_for.id, "");
  pass(granted(*renewal.ask));
  EXPECT_EQ(answer(), Section::Answer::Asked);
  pass(granted(*anew.ask, "9"));
  EXPECT_EQ(memory.held.id, "9");
}

TEST_F(LeasePlan, AStandstillIsNoRefusal) {
  pass(granted(*pass().ask));
  const Plan after = later(minutes{1});
  EXPECT_EQ(answer(), Section::Answer::Asked) << "what needs the lease knows that it has ended; it may well be had again";
  ASSERT_TRUE(after.ask.has_value());
  pass(granted(*after.ask));
  EXPECT_EQ(answer(), Section::Answer::Granted);
}

TEST_F(LeasePlan, AnotherWitnessIsAskedAtOnceAndTheOldLeaseStaysGood) {
  pass(granted(*pass().ask));
  const MonoTime until = memory.section.until;
  desired.lease.place.addresses = {"http://f"};
  const Plan plan = pass();
  ASSERT_TRUE(plan.ask.has_value());
  EXPECT_EQ(memory.asked_for.id, "");
  EXPECT_FALSE(plan.release.has_value());
  EXPECT_EQ(memory.section.until, until);
  desired.witness = Section::Witness::None;
  EXPECT_FALSE(pass().ask.has_value());
  EXPECT_EQ(memory.section, Section{});
}

class EchoPlan : public LeasePlan {
 protected:
  EchoPlan() {
    desired.witness = Section::Witness::Reachable;
    desired.lease = {};
    desired.echoes = {"10.0.0.1"};
  }
  static Answer reached(const Ask& ask) { return {ask.number, LeaseReply{.granted = true}}; }
};

TEST_F(EchoPlan, TheVerdictStands) {
  const Plan first = pass();
  EXPECT_EQ(first.ask->limit, kEchoLimit);
  const Plan plan = pass(reached(*first.ask));
  EXPECT_EQ(memory.section, (Section{.witness = Section::Witness::Reachable, .answer = Section::Answer::Granted}));
  EXPECT_FALSE(plan.recheck_after.has_value());
  EXPECT_FALSE(later(hours{1}).ask.has_value());
  EXPECT_EQ(answer(), Section::Answer::Granted);
  desired.need = status::LeaseNeed::None;
  EXPECT_FALSE(pass().release.has_value());
  EXPECT_EQ(answer(), Section::Answer::NotAsked);
}

TEST_F(EchoPlan, OneLostEchoIsNoVerdict) {
  later(seconds{1}, silent(*pass().ask));
  EXPECT_EQ(answer(), Section::Answer::Asked);
  const Plan second = later(kAskAgain);
  ASSERT_TRUE(second.ask.has_value());
  later(kPatience);
  EXPECT_EQ(answer(), Section::Answer::Silent);
  pass(reached(*second.ask));
  EXPECT_FALSE(later(hours{1}).ask.has_value());
}

// It may be complete by now: what was begun without it goes on, nothing else begins.
TEST_F(LeasePlan, ANodeThatIsHeardAfterItWasSwitchedOffIsToBeSwitchedOffAnew) {
  desired.lease.place = {.kind = WitnessPlace::Kind::Fence, .addresses = {"/sbin/off"}, .other_node = "b"};
  const auto hear = [this](Hearing hearing) {
    desired.hearing = hearing;
    desired.lease.only_mine = hearing == Hearing::Now;
  };
  hear(Hearing::Lost);
  pass(granted(*pass().ask));
  EXPECT_TRUE(memory.section.lets_begin());
  hear(Hearing::Now);
  pass();
  EXPECT_EQ(answer(), Section::Answer::Granted);
  EXPECT_FALSE(memory.section.lets_begin());
  const Plan renewal = later(seconds{4});
  pass(granted(*renewal.ask));
  EXPECT_FALSE(memory.section.lets_begin());
  const Plan late = later(seconds{4});
  hear(Hearing::Lost);
  pass();
  EXPECT_EQ(answer(), Section::Answer::Asked);
  const Plan anew = pass(granted(*late.ask));  // of what it had
  ASSERT_TRUE(anew.ask.has_value());
  EXPECT_FALSE(memory.asked_for.only_mine);
  EXPECT_EQ(memory.asked_for.id, "");
  pass(granted(*anew.ask));
  EXPECT_TRUE(memory.section.lets_begin());
}

TEST_F(LeasePlan, ANoToAQuestionForItsOwnIsNoneToTheNextOne) {
  desired.lease.place = {.kind = WitnessPlace::Kind::Fence, .addresses = {"/sbin/off"}, .other_node = "b"};
  desired.lease.only_mine = true;
  desired.hearing = Hearing::Unsure;
  pass({{pass().ask->number, LeaseReply{.detail = "'b' is not switched off"}}});
  EXPECT_EQ(answer(), Section::Answer::Silent);
  desired.lease.only_mine = false;
  desired.hearing = Hearing::Lost;
  const Plan plan = pass();
  ASSERT_TRUE(plan.ask.has_value());
  EXPECT_EQ(answer(), Section::Answer::Asked);
  pass({{plan.ask->number, LeaseReply{.detail = "'b' was not switched off"}}});
  EXPECT_EQ(answer(), Section::Answer::Silent);
  pass();
  EXPECT_EQ(answer(), Section::Answer::Silent);
}

TEST(LeaseDesire, OfAModule) {
  spec::Module module;
  module.metadata.name = "db";
  status::RoleSection role{.lease = status::LeaseNeed::Needed};
  EXPECT_EQ(desire(&module, role, "a", "c", Hearing::Lost).witness, Section::Witness::None);
  module.checkers.split_brain = spec::SplitBrainChecker{.ident = "w", .witnesses = {"10.0.0.1"}};
  EXPECT_EQ(desire(&module, role, "a", "c", Hearing::Lost).echoes, std::vector<std::string>{"10.0.0.1"});
  module.checkers.split_brain->exec = "node";
  module.checkers.split_brain->lease = seconds{5};
  const Desired desired = desire(&module, role, "a", "c", Hearing::Lost);
  EXPECT_EQ(desired.need, status::LeaseNeed::Needed);
  EXPECT_EQ(desired.lease, (LeaseAsk{.place = {.kind = WitnessPlace::Kind::Node, .addresses = {"10.0.0.1"}}, .name = "safekit/c/db",
                                     .holder = "a", .length = seconds{5}, .succeeds = true})) << "no data: whoever comes after may be active";
  module.replication.emplace().directories.push_back({.path = "/d"});
  EXPECT_FALSE(desire(&module, role, "a", "c", Hearing::Lost).lease.succeeds);
  role.lease_by_hand = true;
  EXPECT_TRUE(desire(&module, role, "a", "c", Hearing::Lost).lease.succeeds);
}

TEST(LeaseDesire, ANodeIsSwitchedOffOnlyByOneThatHasHeardItInThisBootAndNeedsIt) {
  spec::Module module;
  module.metadata.name = "db";
  module.nodes = {NodeName{"a"}, NodeName{"b"}};
  module.checkers.split_brain = spec::SplitBrainChecker{.ident = "w", .exec = "fence", .witnesses = {"/sbin/off"}};
  status::RoleSection role{.role = status::Role::Prim, .lease = status::LeaseNeed::Needed, .may_fence = true};
  const Desired desired = desire(&module, role, "a", "c", Hearing::Lost);
  EXPECT_EQ(desired.lease.place, (WitnessPlace{.kind = WitnessPlace::Kind::Fence, .addresses = {"/sbin/off"}, .other_node = "b"}));
  EXPECT_TRUE(desired.lease.serves);
  EXPECT_FALSE(desired.lease.only_mine);
  EXPECT_GT(desired.patience, kFenceLimit);
  EXPECT_TRUE(desire(&module, role, "a", "c", Hearing::Unsure).lease.only_mine);
  EXPECT_TRUE(desire(&module, role, "a", "c", Hearing::Now).lease.only_mine);
  EXPECT_EQ(desire(&module, role, "a", "c", Hearing::Now).need, status::LeaseNeed::Wanted) << "nothing follows of a no";
  role.may_fence = false;
  EXPECT_TRUE(desire(&module, role, "a", "c", Hearing::Lost).lease.only_mine);
  role.lease = status::LeaseNeed::Wanted;
  EXPECT_TRUE(desire(&module, role, "a", "c", Hearing::Lost).lease.only_mine) << "it was stopped in order";
}

}  // namespace
}  // namespace safekit::lease
