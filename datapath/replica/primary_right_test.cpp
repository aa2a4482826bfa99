// Until when a primary may acknowledge, where the module has a witness that grants leases.
#include "datapath/replica/primary_fixture.h"

namespace safekit::replica {
namespace {

constexpr Duration kPromise = milliseconds{900};
constexpr std::chrono::milliseconds kMoment{50};  ///< what is held is so still

class PrimaryRightTest : public PrimaryFixture {
 protected:
  void SetUp() override {
    PrimaryFixture::SetUp();
    peer_.clock = &clock_;
    primary_->confirm_silence_after(milliseconds{750});
    primary_->tell_right([this](MonoTime until) { told_ = until.ns; });
    primary_->need_right(true);
  }
  void expect_held(std::future<Status>& call) { EXPECT_EQ(call.wait_for(kMoment), std::future_status::timeout); }
  void expect_refused(std::future<Status>& call) {
    ASSERT_EQ(call.wait_for(kSoon), std::future_status::ready);
    const Status ended = call.get();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, Code::Fenced);
  }
  [[nodiscard]] MonoTime in(Duration time) const { return clock_.mono_now() + time; }

  std::atomic<std::int64_t> told_{-1};
};

TEST_F(PrimaryRightTest, WhoNeedsNoneHasNoEnd) {
  primary_->need_right(false);
  EXPECT_TRUE(primary_->permit());
  begin();
  EXPECT_EQ(peer_.asked, 0U);
  EXPECT_FALSE(primary_->status().frozen);
  EXPECT_EQ(told_, kNoEnd.ns);
}

TEST_F(PrimaryRightTest, ACallIsHeldUntilThePeerPromises) {
  begin();
  EXPECT_EQ(peer_.asked, 1U) << "at once";
  EXPECT_TRUE(primary_->status().frozen);
  auto call = permit();
  expect_held(call);
  peer_.promises_for = kPromise.count();
  clock_.advance(milliseconds{250});
  expect_returns(call);
  EXPECT_FALSE(primary_->status().frozen);
  EXPECT_LE(told_, in(kPromise).ns - kPromise.count() / 500);
  EXPECT_GE(told_, in(kPromise).ns - kPromise.count() / 500 - 10);
  EXPECT_TRUE(logged("right=given"));
  peer_.promises_for = 0;
  clock_.advance(kPromise);
  auto next = permit();
  expect_held(next);
  EXPECT_TRUE(primary_->status().peer_synchronised) << "it only says nothing of this";
  EXPECT_TRUE(logged("right=ended"));
  peer_.promises_for = kPromise.count();
  clock_.advance(milliseconds{250});
  expect_returns(next);
}

TEST_F(PrimaryRightTest, WhatWasPromisedStaysWhenTheConnectionIsLost) {
  peer_.promises_for = kPromise.count();
  begin();
  ASSERT_TRUE(becomes([&] { return !primary_->status().frozen; }));
  source_.let(false);
  primary_->doubt({.what = Change::What::Tail, .id = {1}});
  ASSERT_TRUE(becomes([&] { return primary_->status().waiting_for_alone; }));
  EXPECT_TRUE(primary_->permit());
  clock_.advance(kPromise);
  auto call = permit();
  expect_held(call);
  primary_->leave();
  expect_refused(call);
}

TEST_F(PrimaryRightTest, NoTimeGivesWhatTheControlPlaneDoesNot) {
  source_.let(false);
  primary_->start();
  auto call = sync();
  auto held = permit();
  clock_.advance(hours{2});  // twice the send time-out
  expect_held(call);
  expect_held(held);
  EXPECT_TRUE(primary_->status().waiting_for_alone);
  primary_->allow_alone(true);
  expect_returns(call);
  expect_returns(held);
  EXPECT_EQ(told_, kNoEnd.ns);
}

TEST_F(PrimaryRightTest, AloneByLeaseEndsWithIt) {
  source_.let(false);
  primary_->start();
  primary_->allow_alone(true, 0, true);
  auto call = permit();
  expect_held(call);
  primary_->lease(in(seconds{1}), false);
  expect_returns(call);
  EXPECT_EQ(told_, in(seconds{1}).ns);
  auto write = sync();
  expect_returns(write);
  clock_.advance(seconds{1});
  ASSERT_TRUE(becomes([&] { return primary_->status().frozen; }));
  auto next = permit();
  expect_held(next);
  primary_->lease(in(seconds{1}), false);
  expect_returns(next);
}

TEST_F(PrimaryRightTest, ARefusalEndsWhatIsHeldAndNothingElse) {
  source_.let(false);
  primary_->start();
  primary_->allow_alone(true, 0, true);
  primary_->lease(in(seconds{1}), false);
  primary_->lease(in(seconds{1}), true);
  EXPECT_TRUE(primary_->permit()) << "until then it is this node's";
  clock_.advance(seconds{1});
  auto late = permit();
  expect_refused(late);
  primary_->lease({}, false);
  auto held = permit();
  expect_held(held);
  primary_->lease({}, true);
  expect_refused(held);
}

TEST_F(PrimaryRightTest, ARefusalEndsCallsThatWaitForALostPeer) {
  begin();
  peer_.disk_hangs = true;
  auto call = sync();
  ASSERT_TRUE(becomes([&] { return peer_.syncs == 1; }));
  source_.let(false);
  primary_->doubt({.what = Change::What::Tail, .id = {1}});
  ASSERT_TRUE(becomes([&] { return primary_->status().waiting_for_alone; }));
  expect_held(call);
  primary_->lease({}, true);
  expect_refused(call);
}

TEST_F(PrimaryRightTest, ThePeersOwnWordThatItIsOutOfDateNeedsNoLease) {
  source_.let(false);
  primary_->start();
  primary_->allow_alone(true, 0, true);
  auto call = permit();
  expect_held(call);
  peer_.wants_all = true;
  source_.let(true);
  expect_returns(call);
  EXPECT_EQ(told_, kNoEnd.ns);
  // Nor does the control plane take that back, which knows of it later.
  primary_->allow_alone(true, 0, true);
  EXPECT_TRUE(primary_->permit());
  // When the copies are equal, it counts no more.
  peer_.wants_all = false;
  ASSERT_TRUE(becomes([&] { return primary_->status().peer_synchronised; }));
  EXPECT_TRUE(primary_->status().frozen);
}

TEST_F(PrimaryRightTest, TheWordOfTheControlPlaneIsTheLastOne) {
  source_.let(false);
  primary_->start();
  primary_->allow_alone(true);
  EXPECT_TRUE(primary_->permit());
  primary_->allow_alone(true, 0, true);
  auto call = permit();
  expect_held(call);
  primary_->allow_alone(true);
  expect_returns(call);
}

TEST_F(PrimaryRightTest, WhoTakesOverFromOneThatWasAloneWaitsForTheLease) {
  source_.let(false);
  primary_->prepare(*inodes_, std::nullopt, {}, {.taken_over = true, .was_alone = true, .unconfirmed = true});
  auto call = sync();
  expect_returns(call);  // what was done is noted; whether that may be told is another question
  auto held = permit();
  expect_held(held);
  primary_->allow_alone(true, 0, true);
  expect_held(held);
  primary_->lease(in(seconds{1}), false);
  expect_returns(held);
}

TEST_F(PrimaryRightTest, APeerOfAnEarlierReleaseIsTrustedAsLongAsItIsConnected) {
  peer_.protocol = wire::kFirstWithPromises - 1;
  begin();
  EXPECT_TRUE(primary_->permit());
  EXPECT_NE(primary_->status().problem.find("promises nothing"), std::string::npos);
  clock_.advance(milliseconds{500});
  EXPECT_EQ(peer_.asked, 0U);
  source_.let(false);
  primary_->doubt({.what = Change::What::Tail, .id = {1}});
  EXPECT_TRUE(primary_->status().frozen);
  EXPECT_TRUE(primary_->status().problem.empty());
}

TEST_F(PrimaryRightTest, AStopReturnsAtOnceAndGivesNoRight) {
  begin();
  auto call = permit();
  expect_held(call);
  EXPECT_TRUE(primary_->stop());
  expect_refused(call);
}

}  // namespace
}  // namespace safekit::replica
