#include <gtest/gtest.h>

#include <algorithm>

#include "controllers/role/bench.h"
#include "controllers/role/own_rules.h"
#include "controllers/role/start.h"

/// What a witness decides: docs/leases.md.
namespace safekit::role {
namespace {

using bench::MirrorBench;
using Answer = status::LeaseSection::Answer;
using Witness = status::LeaseSection::Witness;

struct LeaseBench : MirrorBench {
  explicit LeaseBench(Role role, Witness witness = Witness::Grants) : MirrorBench(role) {
    desired.witness = witness;
    observed.lease.witness = witness;
    observed.replication.connected = observed.replication.peer_synchronised = true;
  }
  /// Decides until nothing moves: all that is ordered is done at once.
  void settle() {
    for (int unmoved = 0; unmoved < 2;) {  // the second look is at what the first has brought about
      const Memory before = memory;
      observed.elapsed = elapsed(desired, memory, observed.wall_now);
      const Plan plan = decide(desired, observed, memory);
      memory = plan.memory;
      for (const Say& line : plan.lines) lines.push_back(line.text);
      observed.failover.watched = memory.section.watched;
      observed.replication.order = memory.section.replica;
      observed.replication.alive = memory.section.replica.role != ReplicaOrder::Role::None;
      if (memory.section.replica.may_be_alone) observed.replication.waiting_for_alone = false;
      observed.addresses.all_set = memory.section.addresses_wanted;
      observed.addresses.all_unset = !memory.section.addresses_wanted;
      if (memory.section.script) observed.script = {.run = memory.section.script->run, .finished = true};
      unmoved = memory == before ? unmoved + 1 : 0;
    }
  }
  void lose_peer() {
    observed.peer.heard = false;
    observed.peer.silence_known = true;
    observed.replication.connected = observed.replication.peer_synchronised = false;
    observed.replication.waiting_for_alone = memory.section.role == Role::Prim;
    settle();
  }
  void hear_peer(Role role, Readiness readiness) {
    observed.peer.heard = true;
    observed.peer.silence_known = false;
    observed.peer.role = role;
    observed.peer.readiness = readiness;
  }
  /// The lease controller, and failover's default rule.
  void say(Answer answer) {
    observed.lease.answer = answer;
    const bool is_no = answer == Answer::Refused || answer == Answer::Silent;
    const bool counts = memory.section.lease == LeaseNeed::Needed || memory.section.lease == LeaseNeed::Stands;
    observed.failover.wait_rules_true.clear();
    if (is_no && counts) observed.failover.wait_rules_true = {std::string{kSplitBrainFailure}};
    settle();
  }
  [[nodiscard]] LeaseNeed need() const { return memory.section.lease; }
  [[nodiscard]] Role role() const { return memory.section.role; }
  std::vector<std::string> lines{};
};

TEST(Lease, IsNotWantedWhileThePeerIsThere) {
  for (const Role role : {Role::Prim, Role::Second}) {
    LeaseBench bench{role};
    bench.settle();
    EXPECT_EQ(bench.need(), LeaseNeed::GivenBack) << status::to_string(role);
  }
}

TEST(Lease, ASecondaryTakesOverWhenItHasTheLease) {
  LeaseBench bench{Role::Second};
  bench.lose_peer();
  EXPECT_EQ(bench.need(), LeaseNeed::Needed);
  EXPECT_EQ(bench.role(), Role::Second) << "it asks first";
  bench.say(Answer::Asked);
  EXPECT_EQ(bench.role(), Role::Second);
  bench.say(Answer::Granted);
  EXPECT_EQ(bench.role(), Role::Alone);
  EXPECT_TRUE(bench.memory.section.replica.by_lease);
  EXPECT_FALSE(bench.memory.section.replica.peer_left) << "what it has promised its primary still counts";
  EXPECT_EQ(bench.need(), LeaseNeed::Needed);
}

TEST(Lease, ASecondaryThatDoesNotGetItWaitsForThePeer) {
  for (const Answer no : {Answer::Refused, Answer::Silent}) {
    LeaseBench bench{Role::Second};
    bench.memory.section.paired = true;
    bench.lose_peer();
    bench.say(no);
    EXPECT_EQ(bench.role(), Role::Wait);
    EXPECT_EQ(bench.memory.section.readiness, Readiness::NotReady);
    EXPECT_EQ(bench.memory.section.waiting_for, kSplitBrainFailure);
    EXPECT_EQ(bench.need(), LeaseNeed::Stands) << "its copy is in doubt: a lease would be of no use to it";
    EXPECT_EQ(bench.memory.section.loop_count, 0U) << "that is no fault of its application";
    bench.hear_peer(Role::Alone, Readiness::Ready);
    bench.observed.failover.wait_rules_true.clear();
    bench.settle();
    EXPECT_EQ(bench.role(), Role::Second);
    EXPECT_EQ(bench.need(), LeaseNeed::None);
  }
}

TEST(Lease, WithoutFailoverNothingIsAsked) {
  LeaseBench bench{Role::Second};
  bench.desired.failover = false;
  bench.memory.section.paired = true;
  bench.lose_peer();
  EXPECT_EQ(bench.role(), Role::Wait);
  EXPECT_EQ(bench.need(), LeaseNeed::None);
}

TEST(Lease, APrimaryGoesOnAloneWhenItHasTheLease) {
  LeaseBench bench{Role::Prim};
  bench.lose_peer();
  EXPECT_EQ(bench.role(), Role::Prim);
  EXPECT_FALSE(bench.memory.section.replica.may_be_alone);
  EXPECT_EQ(bench.need(), LeaseNeed::Needed);
  bench.say(Answer::Granted);
  EXPECT_EQ(bench.role(), Role::Alone);
  EXPECT_TRUE(bench.memory.section.replica.may_be_alone);
  EXPECT_TRUE(bench.memory.section.replica.by_lease);
}

// docs/witness.md, "Fencing"
TEST(Lease, NothingBeginsWithALeaseThatIsSpent) {
  for (const Role role : {Role::Prim, Role::Second}) {
    LeaseBench bench{role};
    bench.observed.lease.spent = true;
    bench.lose_peer();
    bench.say(Answer::Granted);
    EXPECT_EQ(bench.role(), role);
    EXPECT_EQ(bench.need(), LeaseNeed::Needed);
    EXPECT_FALSE(bench.memory.section.replica.may_be_alone);
    bench.observed.lease.spent = false;
    bench.say(Answer::Granted);
    EXPECT_EQ(bench.role(), Role::Alone);
    bench.observed.lease.spent = true;
    bench.hear_peer(Role::Wait, Readiness::Ready);
    bench.settle();
    EXPECT_EQ(bench.role(), Role::Alone) << "what was begun goes on";
    EXPECT_TRUE(bench.memory.section.replica.may_be_alone);
  }
}

TEST(Lease, APrimaryThatDoesNotGetItStopsTheApplication) {
  LeaseBench bench{Role::Prim};
  bench.memory.section.paired = true;
  bench.lose_peer();
  bench.say(Answer::Silent);
  EXPECT_EQ(bench.role(), Role::Wait);
  EXPECT_EQ(bench.memory.section.waiting_for, kSplitBrainFailure);
  EXPECT_FALSE(bench.memory.section.addresses_wanted);
  EXPECT_TRUE(bench.memory.section.paired) << "in doubt: the other node may have gone on";
}

TEST(Lease, WhoWasAloneByItComesBackWithIt) {
  LeaseBench bench{Role::Prim};
  bench.lose_peer();
  bench.say(Answer::Granted);
  ASSERT_EQ(bench.role(), Role::Alone);
  bench.say(Answer::Silent);
  EXPECT_EQ(bench.role(), Role::Wait);
  EXPECT_EQ(bench.need(), LeaseNeed::Needed) << "its copy is the newest: it asks until it has the lease";
  bench.say(Answer::Granted);
  EXPECT_EQ(bench.role(), Role::Alone);
  EXPECT_TRUE(bench.memory.section.replica.by_lease);
}

TEST(Lease, APeerThatCannotTakeOverMakesTheWitnessDispensable) {
  LeaseBench bench{Role::Prim};
  bench.lose_peer();
  bench.say(Answer::Granted);
  ASSERT_EQ(bench.role(), Role::Alone);
  bench.observed.replication.pairing = 7;
  bench.hear_peer(Role::Stop, Readiness::NotReady);
  bench.observed.peer.paired = true;
  bench.settle();
  EXPECT_TRUE(bench.memory.section.out_of_date_requested) << "it is asked";
  EXPECT_TRUE(bench.memory.section.replica.by_lease);
  bench.observed.peer.answered_pairing = 7;
  bench.settle();
  EXPECT_FALSE(bench.memory.section.replica.by_lease);
  EXPECT_TRUE(bench.memory.section.replica.may_be_alone);
  EXPECT_EQ(bench.memory.section.replica.pairing, 7U);
  EXPECT_FALSE(bench.memory.section.out_of_date_requested);
  EXPECT_EQ(bench.need(), LeaseNeed::Wanted);
  bench.say(Answer::Silent);
  EXPECT_EQ(bench.role(), Role::Alone);
  bench.observed.peer.heard = false;
  bench.observed.peer.silence_known = true;
  bench.settle();
  EXPECT_EQ(bench.role(), Role::Alone) << "nor does it matter when the peer goes";
}

TEST(Lease, APeerThatStopsNeedsNoWitness) {
  LeaseBench bench{Role::Second};
  bench.hear_peer(Role::Wait, Readiness::Transient);
  bench.observed.replication.connected = false;
  bench.settle();
  EXPECT_EQ(bench.role(), Role::Alone);
  EXPECT_FALSE(bench.memory.section.replica.by_lease);
  EXPECT_TRUE(bench.memory.section.replica.peer_left);
  EXPECT_EQ(bench.need(), LeaseNeed::Wanted) << "so that nobody else gets it";
}

TEST(Lease, OfTwoThatServeWhoHoldsItStays) {
  LeaseBench stopped{Role::Prim};  // and has not noticed anything
  stopped.observed.replication.connected = stopped.observed.replication.peer_synchronised = false;
  stopped.hear_peer(Role::Alone, Readiness::Ready);
  stopped.observed.peer.came_from_second = stopped.observed.peer.holds_lease = true;
  stopped.settle();
  EXPECT_EQ(std::ranges::count(stopped.lines, "Split brain recovery: exiting alone"), 1);

  LeaseBench leaving{Role::Prim};  // its application waits for its last writes, and is told that they come to nothing
  leaving.observed.replication.connected = leaving.observed.replication.peer_synchronised = false;
  leaving.hear_peer(Role::Alone, Readiness::Ready);
  leaving.observed.peer.came_from_second = leaving.observed.peer.holds_lease = true;
  EXPECT_EQ(decide(leaving.desired, leaving.observed, leaving.memory).memory.section.lease, LeaseNeed::Forgone);

  LeaseBench holder{Role::Second};
  holder.lose_peer();
  holder.say(Answer::Granted);
  holder.hear_peer(Role::Prim, Readiness::Ready);
  holder.settle();
  EXPECT_EQ(holder.role(), Role::Alone);
  EXPECT_EQ(std::ranges::count(holder.lines, "Split brain recovery: staying alone"), 1);
}

TEST(Lease, ANewSafekitdDoesNotGiveWayBeforeItHasAskedForItsLease) {
  LeaseBench bench{Role::Second};
  bench.lose_peer();
  bench.say(Answer::Granted);
  ASSERT_EQ(bench.role(), Role::Alone);
  bench.observed.lease.answer = Answer::NotAsked;
  bench.hear_peer(Role::Prim, Readiness::Ready);
  bench.settle();
  EXPECT_EQ(bench.role(), Role::Alone);
  bench.observed.lease.answer = Answer::Refused;
  bench.observed.peer.holds_lease = true;
  bench.settle();
  EXPECT_EQ(std::ranges::count(bench.lines, "Split brain recovery: exiting alone"), 1);
}

TEST(Lease, IsHeldUntilAllIsLetGo) {
  LeaseBench bench{Role::Prim};
  bench.lose_peer();
  bench.say(Answer::Granted);
  bench.observed.operations = {{.id = 1, .verb = "forcestop", .caller = "root"}};
  const Plan plan = decide(bench.desired, bench.observed, bench.memory);
  EXPECT_EQ(plan.memory.section.lease, LeaseNeed::Needed) << "the address and the mount are still here";
  bench.memory = plan.memory;
  bench.observed.operations.clear();
  bench.settle();
  EXPECT_EQ(bench.role(), Role::Stop);
  EXPECT_EQ(bench.need(), LeaseNeed::None);
}

TEST(Lease, AloneWithASecondaryThatIsCompleteItIsNeededAsInPrim) {
  LeaseBench bench{Role::Prim};
  bench.memory.section.role = Role::Alone;  // it has not come round to PRIM
  bench.memory.section.paired = true;
  bench.observed.replication.waiting_for_alone = true;
  bench.observed.replication.connected = bench.observed.replication.peer_synchronised = false;
  bench.observed.peer.heard = false;
  bench.observed.peer.silence_known = true;
  bench.settle();
  EXPECT_EQ(bench.need(), LeaseNeed::Needed);
  bench.say(Answer::Refused);
  EXPECT_EQ(bench.role(), Role::Wait);
  EXPECT_EQ(bench.memory.section.waiting_for, kSplitBrainFailure);
  EXPECT_TRUE(bench.memory.section.paired) << "in doubt: the other node may go on";
}

TEST(Lease, WhoHasBeenRefusedIsNotGrantedItLater) {
  for (const Role role : {Role::Prim, Role::Second}) {
    LeaseBench bench{role};
    bench.lose_peer();
    ASSERT_EQ(bench.need(), LeaseNeed::Needed);
    bench.observed.lease.answer = Answer::Refused;
    bench.settle();  // and the rule that waits has not been judged
    EXPECT_EQ(bench.role(), role);
    EXPECT_EQ(bench.need(), LeaseNeed::Stands) << "it does not ask until the other node has used the lease and died";
  }
}

TEST(Lease, WhoseReplicaHasDiedDoesNotKnowThatItsSecondaryWasNeverComplete) {
  for (const Witness witness : {Witness::Grants, Witness::None}) {
    LeaseBench bench{Role::Prim, witness};
    bench.memory.section.role = Role::Alone;
    bench.memory.section.paired = true;
    bench.memory.section.replica.may_be_alone = true;
    bench.observed.peer.heard = false;
    bench.observed.peer.silence_known = true;
    bench.observed.replication = {.configured = true, .died = true, .up_to_date = true, .ever_synchronised = true};
    bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
    EXPECT_TRUE(bench.memory.stopping);
    EXPECT_EQ(bench.memory.section.paired, witness == Witness::Grants);
  }
}

TEST(Lease, ASecondaryWhoseReplicaIsNotFoundYetDoesNotTakeOver) {
  LeaseBench bench{Role::Second};
  bench.hear_peer(Role::Stop, Readiness::NotReady);
  bench.observed.replication.alive = bench.observed.replication.connected = false;
  const Plan plan = decide(bench.desired, bench.observed, bench.memory);
  EXPECT_TRUE(plan.memory.steps.empty());
  bench.observed.replication.alive = true;
  EXPECT_FALSE(decide(bench.desired, bench.observed, bench.memory).memory.steps.empty());
}

TEST(Lease, APrimaryThatHasGoneOnAloneInTheMiddleOfASwapHandsNothingOver) {
  for (const bool paired : {true, false}) {
    LeaseBench bench{Role::Second};
    bench.hear_peer(Role::Second, Readiness::Transient);
    bench.observed.peer.in_service_hand_over = true;
    bench.observed.peer.paired = paired;
    bench.observed.replication.connected = false;
    bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
    EXPECT_EQ(bench.memory.section.replica.mark_out_of_date, !paired);
    EXPECT_EQ(bench.memory.steps.empty(), !paired);
  }
}

// e2e/model, WithAWitnessCutsAndCommandsLoseNothing
TEST(Lease, WhoHandedOverDoesNotTakeTheRoleBackFromOneThatServedAlone) {
  for (const Role gone : {Role::Stop, Role::Wait}) {
    for (const bool paired : {true, false}) {
      LeaseBench bench{Role::Second};
      bench.memory.section.readiness = Readiness::Transient;
      bench.memory.section.paired = bench.memory.section.in_service_hand_over = true;
      bench.observed.replication.connected = bench.observed.replication.peer_synchronised = false;
      bench.hear_peer(gone, Readiness::NotReady);
      bench.observed.peer.paired = paired;
      bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
      EXPECT_EQ(bench.memory.stopping && bench.memory.start_again, !paired);
      EXPECT_EQ(bench.memory.section.came_from_second, paired);
    }
  }
}

TEST(Lease, APrimaryThatHasGoneOnAloneAndStoppedIsNotTakenOverFrom) {
  for (const Role role : {Role::Stop, Role::Wait}) {
    LeaseBench bench{Role::Second};
    bench.hear_peer(role, Readiness::NotReady);
    bench.observed.peer.paired = false;
    bench.observed.replication.connected = false;
    bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
    EXPECT_TRUE(bench.memory.section.replica.mark_out_of_date) << "it was not heard of while that lasted";
    EXPECT_EQ(bench.memory.section.replica.role, ReplicaOrder::Role::Secondary);
  }
}

TEST(Lease, WhoTakesTheRoleWithAnOldCopyIsNotFollowedYet) {
  for (const Copy remote : {Copy::Stale, Copy::Inconsistent}) {
    EXPECT_EQ(decide_start({.local = Copy::Undetermined, .remote = remote, .peer = PeerPlace::Serving}), StartOutcome::Hold);
  }
}

TEST(Lease, AnEchoIsAskedOnceAndBindsNoReplica) {
  LeaseBench bench{Role::Prim, Witness::Reachable};
  bench.lose_peer();
  EXPECT_EQ(bench.need(), LeaseNeed::Needed);
  bench.say(Answer::Granted);
  EXPECT_EQ(bench.role(), Role::Alone);
  EXPECT_FALSE(bench.memory.section.replica.by_lease);
  bench.hear_peer(Role::Stop, Readiness::NotReady);
  bench.settle();
  EXPECT_EQ(bench.need(), LeaseNeed::None) << "the verdict was of that loss";
}

/// In the middle of a restart: its script waits for an fsync, and the rules of a stable state are not asked.
TEST(Lease, CallsOfAPrimaryThatTheOtherNodeServesWithoutEndAlsoWithoutAWitness) {
  LeaseBench bench{Role::Prim, Witness::None};
  bench.memory.section.paired = true;
  bench.memory.steps = {RunScript{.name = "stop_prim"}};
  bench.observed.replication.connected = bench.observed.replication.peer_synchronised = false;
  bench.hear_peer(Role::Alone, Readiness::Ready);
  const auto need = [&bench] { return decide(bench.desired, bench.observed, bench.memory).memory.section.lease; };
  bench.observed.peer.paired = true;
  EXPECT_EQ(need(), LeaseNeed::None) << "it may be about to follow";
  bench.observed.peer.paired = false;
  EXPECT_EQ(need(), LeaseNeed::Forgone);
  // It died since, was booted, and waits for this one to give way.
  bench.hear_peer(Role::Wait, Readiness::Transient);
  bench.observed.peer.paired = false;
  bench.observed.peer.up_to_date = true;
  bench.observed.replication.generation = 5;
  bench.observed.peer.generation = 6;
  EXPECT_EQ(need(), LeaseNeed::Forgone);
  bench.observed.replication.connected = true;
  EXPECT_EQ(need(), LeaseNeed::None);
}

TEST(Lease, WhoWroteAloneStaysAlsoWhereTheLeaseHasRunOut) {
  LeaseBench stopped{Role::Prim};
  stopped.memory.section.paired = true;
  stopped.observed.replication.connected = stopped.observed.replication.peer_synchronised = false;
  stopped.hear_peer(Role::Alone, Readiness::Ready);
  stopped.observed.peer.came_from_second = true;
  stopped.observed.peer.paired = false;
  stopped.settle();
  EXPECT_EQ(std::ranges::count(stopped.lines, "Split brain recovery: exiting alone"), 1);

  LeaseBench holder{Role::Second};
  holder.lose_peer();
  holder.say(Answer::Granted);
  ASSERT_FALSE(holder.memory.section.paired);
  holder.observed.lease.answer = Answer::Silent;
  holder.hear_peer(Role::Prim, Readiness::Ready);
  holder.settle();
  EXPECT_EQ(std::ranges::count(holder.lines, "Split brain recovery: exiting alone"), 0);
}

StartInput silent_peer(Intent intent, WitnessWord word) {
  return {.intent = intent, .local = Copy::UpToDate, .peer = PeerPlace::Silent, .witness = word};
}

TEST(Lease, AStartWithoutThePeerNeedsIt) {
  EXPECT_EQ(decide_start(silent_peer(Intent::Automatic, WitnessWord::NotNeeded)), StartOutcome::BecomeAlone);
  EXPECT_EQ(decide_start(silent_peer(Intent::Automatic, WitnessWord::Granted)), StartOutcome::BecomeAlone);
  for (const WitnessWord word : {WitnessWord::Awaited, WitnessWord::Refused, WitnessWord::Silent}) {
    EXPECT_EQ(decide_start(silent_peer(Intent::Automatic, word)), StartOutcome::AskWitness);
  }
  StartInput old = silent_peer(Intent::Automatic, WitnessWord::Awaited);
  old.local = Copy::Undetermined;
  EXPECT_EQ(decide_start(old), StartOutcome::WaitForData) << "it would be of no use to it";
}

// docs/witness.md, "Fencing": an old copy, or a standby without data, must not end what the other node serves.
TEST(Lease, AStartSwitchesTheOtherNodeOffForTheNewestCopyOnly) {
  const auto may_fence = [](bool replicates, bool up_to_date) {
    LeaseBench bench{Role::Second};
    bench.desired.replicates = replicates;
    bench.memory.section.role = Role::Wait;
    bench.memory.section.readiness = Readiness::Transient;
    bench.memory.section.replica.role = ReplicaOrder::Role::Idle;
    bench.observed.replication.up_to_date = up_to_date;
    bench.observed.replication.order = bench.memory.section.replica;
    bench.observed.synced = true;  // syncDelta
    bench.observed.peer.absence_known = true;
    bench.lose_peer();
    EXPECT_EQ(bench.need(), LeaseNeed::Needed);
    return bench.memory.section.may_fence;
  };
  EXPECT_TRUE(may_fence(true, true));
  EXPECT_FALSE(may_fence(true, false));
  EXPECT_FALSE(may_fence(false, true));
  for (const Role role : {Role::Prim, Role::Second}) {
    LeaseBench bench{role};
    bench.lose_peer();
    EXPECT_TRUE(bench.memory.section.may_fence);
  }
}

TEST(Lease, APersonWhoSaysPrimIsRefusedByTheHolderOnly) {
  for (const Intent intent : {Intent::Prim, Intent::PrimForce}) {
    EXPECT_EQ(decide_start(silent_peer(intent, WitnessWord::Awaited)), StartOutcome::AskWitness);
    EXPECT_EQ(decide_start(silent_peer(intent, WitnessWord::Refused)), StartOutcome::AbortLease);
    EXPECT_EQ(decide_start(silent_peer(intent, WitnessWord::Silent)), StartOutcome::BecomeAlone);
    EXPECT_EQ(right_of(silent_peer(intent, WitnessWord::Silent)), AloneBy::Hand);
    EXPECT_EQ(right_of(silent_peer(intent, WitnessWord::Granted)), AloneBy::Witness);
  }
  Desired desired{.witness = Witness::Grants};
  Observed observed{.lease = {.witness = Witness::Grants, .answer = Answer::Granted, .spent = true}, .peer = {.silence_known = true}};
  EXPECT_EQ(start_input(desired, observed, Memory{}).witness, WitnessWord::Silent) << "it says nothing of the other node as it is now";
}

}  // namespace
}  // namespace safekit::role
