#include <gtest/gtest.h>

#include "controllers/role/bench.h"

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

}  // namespace
}  // namespace safekit::role
