#include <gtest/gtest.h>

#include "controllers/role/bench.h"
#include "controllers/role/start.h"

namespace safekit::role {
namespace {

using bench::MirrorBench;

/// The new primary of a swap; its application writes before the other node has connected.
MirrorBench swapped() {
  MirrorBench bench{Role::Prim};
  bench.memory.section.since = bench.observed.wall_now;
  bench.observed.peer.readiness = Readiness::Transient;
  bench.observed.peer.up_to_date = bench.observed.peer.replicates = true;
  bench.observed.replication.connected = bench.observed.replication.peer_synchronised = false;
  bench.observed.replication.waiting_for_alone = true;
  bench.observed.replication.pairing = 7;
  return bench;
}

TEST(Partner, AfterASwapTheOtherNodeHasItsMomentToFollow) {
  MirrorBench bench = swapped();
  (void)bench.decide_once();
  EXPECT_FALSE(bench.memory.section.out_of_date_requested) << "its copy would be synchronised again";
  bench.observed.wall_now.ns += (kReconnectGrace + milliseconds{1}).count();
  (void)bench.decide_once();
  EXPECT_TRUE(bench.memory.section.out_of_date_requested) << "writers do not wait for ever";
}

TEST(Partner, WhoDoesNotFollowIsAskedAtOnce) {
  MirrorBench ready = swapped();
  ready.observed.peer.readiness = Readiness::Ready;
  (void)ready.decide_once();
  EXPECT_TRUE(ready.memory.section.out_of_date_requested);

  MirrorBench dead = swapped();
  dead.observed.peer.heard = false;
  dead.observed.peer.silence_known = true;
  EXPECT_TRUE(dead.decide_once().may_be_alone);
}

TEST(Partner, WhoIsNoPrimaryAnyMoreAsksForNothing) {
  MirrorBench bench = swapped();
  bench.observed.peer.readiness = Readiness::Ready;
  (void)bench.decide_once();
  ASSERT_TRUE(bench.memory.section.out_of_date_requested);
  bench.memory.section.role = Role::Second;
  bench.memory.section.replica = {.role = ReplicaOrder::Role::Secondary};
  (void)bench.decide_once();
  EXPECT_FALSE(bench.memory.section.out_of_date_requested);
  EXPECT_EQ(bench.memory.section.asked_pairing, 0U);
}

/// It stood still; the other node took over, wrote, and waits now.
TEST(Partner, APrimaryThatWasPassedOverGivesWay) {
  const auto passed_over = [] {
    MirrorBench bench{Role::Prim};
    bench.memory.section.paired = true;
    bench.observed.replication.connected = bench.observed.replication.peer_synchronised = false;
    bench.observed.replication.generation = 5;
    bench.observed.peer.role = Role::Wait;
    bench.observed.peer.up_to_date = true;
    bench.observed.peer.paired = false;
    bench.observed.peer.generation = 6;
    return bench;
  };
  MirrorBench bench = passed_over();
  (void)bench.decide_once();
  EXPECT_TRUE(bench.memory.stopping && bench.memory.start_again);
  EXPECT_EQ(bench.memory.section.lease, LeaseNeed::Forgone) << "calls that wait for the other node end";

  MirrorBench in_doubt = passed_over();  // it was killed, and knows no more than that it was a secondary
  in_doubt.observed.peer.paired = true;
  (void)in_doubt.decide_once();
  EXPECT_FALSE(in_doubt.memory.stopping);

  MirrorBench unwritten = passed_over();
  unwritten.observed.peer.generation = 5;
  (void)unwritten.decide_once();
  EXPECT_FALSE(unwritten.memory.stopping) << "it can follow";
}

TEST(Partner, AnOlderPrimaryIsNotFollowed) {
  StartInput in{.local = Copy::UpToDate, .peer = PeerPlace::Serving};
  EXPECT_EQ(decide_start(in), StartOutcome::BecomeSecond);
  in.peer_is_behind = true;
  EXPECT_EQ(decide_start(in), StartOutcome::Hold);
}

}  // namespace
}  // namespace safekit::role
