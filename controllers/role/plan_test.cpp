#include "controllers/role/plan.h"

#include <gtest/gtest.h>

#include "controllers/role/bench.h"
#include "controllers/role/memory_text.h"
#include "schema/base/digest.h"

namespace safekit::role {
namespace {

using bench::Bench;
using bench::MirrorBench;
using bench::serving_alone;

}  // namespace

TEST(RolePlan, AReplicatedFileSystemThatDoesNotAnswerStopsAndStartsTheModule) {
  Bench bench = serving_alone();
  bench.settle();
  EXPECT_EQ(bench.state(), "ALONE Ready");
  bench.observed.replication.hung = true;
  bench.settle();
  EXPECT_TRUE(bench.said("Action stopstart called by checktime"));
  EXPECT_TRUE(bench.memory.stopping);
  EXPECT_TRUE(bench.memory.start_again);
  EXPECT_EQ(bench.memory.section.loop_count, 1U) << "one that hangs each time is stopped in the end";
  EXPECT_EQ(bench.memory.section.replica.role, ReplicaOrder::Role::Idle);
}

TEST(RolePlan, ACallbackThatFailsStopsTheModule) {
  for (const int code : {0, 2}) {
    Bench bench = serving_alone();
    bench.desired.callbacks = true;
    bench.memory.steps = {RunScript{.name = "_rfs_callback", .arguments = {"_rfs_startsynch"}}};
    bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
    ASSERT_TRUE(bench.memory.section.script);
    EXPECT_EQ(bench.memory.section.script->arguments, std::vector<std::string>{"_rfs_startsynch"});
    bench.observed.script = {.run = bench.memory.section.script->run, .finished = true, .exit_code = code, .output_file = "/log"};
    bench.settle();
    EXPECT_EQ(bench.memory.stopping, code != 0);
    EXPECT_EQ(bench.said("Action stop called by heart : local fault (callback _rfs_startsynch ended with exit code 2, its output is in /log)"),
              code != 0);
  }
}

TEST(RolePlan, StartsAndStopsALightModule) {
  Bench bench;
  EXPECT_EQ(bench.command("start"), "done");
  EXPECT_EQ(bench.state(), "UP Ready");
  EXPECT_TRUE(bench.said("Action start called by root"));
  EXPECT_EQ(bench.command("stop"), "done");
  EXPECT_EQ(bench.state(), "STOP NotReady");
  EXPECT_FALSE(bench.memory.started);
}

TEST(RolePlan, RefusesWhatTheStateDoesNotAllowAndLeavesNoTrace) {
  Bench bench;
  const Memory before = bench.memory;
  for (const char* verb : {"restart", "swap", "stopstart", "prim", "second", "no_such_verb"}) {
    EXPECT_NE(bench.command(verb), "done") << verb;
    EXPECT_EQ(bench.memory, before) << verb;
  }
  EXPECT_TRUE(bench.lines.empty());
  bench.command("start");
  EXPECT_NE(bench.command("start"), "done");
  EXPECT_EQ(bench.state(), "UP Ready");
}

TEST(RolePlan, OfRulesThatHoldAtOnceAWaitGoesBeforeARestartAndAfterAStopstart) {
  for (const auto& [action, first] : std::vector<std::pair<std::string, std::string>>{
           {"restart", "Action wait from failover rule p_router"}, {"stopstart", "Action stopstart from failover rule t_web"}}) {
    Bench bench;
    bench.command("start");
    bench.lines.clear();
    bench.observed.failover.wait_rules_true = {"p_router"};
    bench.observed.failover.request = status::ActionRequest{.id = 1, .action = action, .by = "t_web", .from_rule = true};
    bench.settle();
    EXPECT_EQ(bench.lines.front(), first);
    EXPECT_EQ(bench.state(), "WAIT NotReady");
    EXPECT_EQ(bench.memory.section.loop_count, 1U);
  }
}

TEST(RolePlan, AWaitRuleStopsTheModuleAndHoldsItUntilItIsFalse) {
  Bench bench;
  bench.command("start");
  bench.observed.failover.wait_rules_true = {"t_ldap"};
  bench.settle();
  EXPECT_EQ(bench.state(), "WAIT NotReady");
  EXPECT_EQ(bench.memory.section.waiting_for, "t_ldap");
  EXPECT_TRUE(bench.said("Action wait from failover rule t_ldap"));
  bench.observed.failover.wait_rules_true.clear();
  bench.settle();
  EXPECT_EQ(bench.state(), "UP Ready");
  EXPECT_TRUE(bench.said("Action wakeup from failover rule Implicit_wakeup"));
}

TEST(RolePlan, AResourceWithoutAValueHoldsTheStart) {
  Bench bench;
  bench.observed.failover.wait_rule_init = true;
  bench.command("start");
  EXPECT_EQ(bench.state(), "WAIT Transient");
}

TEST(RolePlan, AStopThatAScriptAsksForIsDoneAfterThatScript) {
  Bench bench;
  bench.observed.operations = {{.id = 1, .verb = "start", .caller = "root"}};
  Plan plan = decide(bench.desired, bench.observed, bench.memory);
  const std::uint64_t first = plan.memory.section.script->run;
  bench.observed.operations = {{.id = 2, .verb = "stop", .caller = "start_prim", .automatic = true}};
  plan = decide(bench.desired, bench.observed, plan.memory);
  EXPECT_EQ(plan.memory.section.script->run, first) << "the script under way must not be given up";
  bench.memory = plan.memory;
  bench.observed.operations.clear();
  bench.observed.script = {.run = first, .finished = true};
  bench.settle();
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RolePlan, AStopDuringTheLastStepIsDone) {
  MirrorBench bench{Role::Second};
  bench.memory.section.readiness = Readiness::Transient;
  bench.observed.replication.up_to_date = false;
  bench.observed.peer.role = Role::Alone;
  bench.memory.steps = {RunScript{.name = "_rfs_callback", .arguments = {"_rfs_startsynch"}}};
  bench.decide_once();
  ASSERT_TRUE(bench.memory.section.script);
  bench.observed.operations = {{.id = 1, .verb = "stop", .caller = "root"}};
  bench.decide_once();
  EXPECT_FALSE(bench.memory.stopping) << "the script ends first";
  bench.observed.operations.clear();
  bench.observed.script = {.run = bench.memory.section.script->run, .finished = true};
  bench.decide_once();
  EXPECT_TRUE(bench.memory.stopping) << "it does not wait for the end of the synchronisation";
  EXPECT_FALSE(bench.memory.start_again);
}

TEST(RolePlan, AForcedStopGivesUpTheScriptThatHangs) {
  Bench bench;
  bench.observed.operations = {{.id = 1, .verb = "start", .caller = "root"}};
  Plan plan = decide(bench.desired, bench.observed, bench.memory);
  ASSERT_TRUE(plan.memory.section.script);
  bench.observed.operations = {{.id = 2, .verb = "forcestop", .caller = "root"}};
  bench.memory = plan.memory;
  bench.settle();
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RolePlan, AStopAndAForcedStopGiveUpAStepThatMayNeverBeDone) {
  const auto stuck_on_address = [](Bench& bench) { bench.observed.addresses.all_set = false; };
  const auto stuck_on_mount = [](Bench& bench) {
    bench.desired.replicates = true;
    bench.observed.replication = {.configured = true,
                                  .order = {.role = ReplicaOrder::Role::Idle},
                                  .alive = true,
                                  .settled = true,
                                  .up_to_date = true};
  };
  for (const bool mount : {false, true}) {
    for (const char* verb : {"stop", "forcestop"}) {
      SCOPED_TRACE(fmt::format("mount {} {}", mount, verb));
      Bench bench;
      bench.desired.mode = Mode::Mirror;
      bench.observed.peer.silence_known = true;
      mount ? stuck_on_mount(bench) : stuck_on_address(bench);
      bench.command("start");
      ASSERT_EQ(bench.state(), "ALONE Transient");
      EXPECT_EQ(bench.command(verb), "done");
      // The replica answers the order to be idle, and its end.
      EXPECT_NE(bench.memory.section.replica.role, ReplicaOrder::Role::Primary);
      bench.observed.replication.order = bench.memory.section.replica;
      bench.settle();
      bench.observed.replication.alive = false;
      bench.settle();
      EXPECT_EQ(bench.state(), "STOP NotReady");
    }
  }
}

TEST(RolePlan, AForcedStopWaitsForNothingButTheEndOfTheReplica) {
  Bench bench;
  bench.desired.mode = Mode::Mirror;
  bench.desired.replicates = true;
  bench.observed.peer.silence_known = true;
  bench.observed.replication = {.configured = true, .order = {.role = ReplicaOrder::Role::Idle}, .alive = true, .settled = true, .up_to_date = true};
  bench.command("start");
  bench.observed.replication.order = bench.memory.section.replica;
  bench.settle();
  ASSERT_EQ(bench.state(), "ALONE Ready");
  // A mount that is in use and an address that cannot be removed hold a stop.
  bench.observed.addresses.all_unset = false;
  bench.command("stop");
  EXPECT_EQ(bench.state(), "ALONE Transient");
  bench.command("forcestop");
  EXPECT_EQ(bench.memory.section.replica.role, ReplicaOrder::Role::None);
  EXPECT_FALSE(bench.memory.section.addresses_wanted);
  bench.observed.replication.alive = false;
  bench.settle();
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RolePlan, TwoThatFollowEachOtherBeginAnew) {
  for (const bool hand_over : {false, true}) {
    MirrorBench pair{Role::Second};
    pair.memory.section.readiness = Readiness::Transient;
    pair.memory.section.replica = pair.observed.replication.order = {.role = ReplicaOrder::Role::Idle, .mark_out_of_date = true};
    pair.observed.replication.up_to_date = false;
    pair.observed.peer.role = Role::Second;
    pair.observed.peer.readiness = Readiness::Transient;
    pair.observed.peer.in_service_hand_over = hand_over;
    (void)pair.decide_once();
    EXPECT_EQ(pair.memory.stopping && pair.memory.start_again, !hand_over) << "a swap has its moment without a primary";
  }
}

TEST(RolePlan, NoScriptOfAForcedStopRunsForEver) {
  Bench bench;
  bench.command("start");
  bench.observed.operations = {{.id = 99, .verb = "forcestop", .caller = "root"}};
  std::size_t scripts = 0;
  for (; bench.state() != "STOP NotReady"; ++scripts) {
    bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
    bench.observed.operations.clear();
    bench.observed.failover.watched = bench.memory.section.watched;
    if (!bench.memory.section.script) continue;
    EXPECT_GT(bench.memory.section.script->time_limit, Duration{0}) << bench.memory.section.script->name;
    bench.observed.script = {.run = bench.memory.section.script->run, .finished = true};
    ASSERT_LT(scripts, 100U);
  }
  EXPECT_GT(scripts, 2U);
}

TEST(RolePlan, ACopyStaysInDoubtWhereTheEndOfASynchronisationMayNotBeKnown) {
  for (const bool died : {true, false}) {
    Bench bench = serving_alone();
    bench.settle();
    bench.memory.section.paired = true;
    // Said before the synchronisation ended, or after: who has no replica any more cannot tell.
    bench.observed.peer = {.heard = true, .module_known = true, .role = Role::Second, .readiness = Readiness::Transient,
                           .inconsistent = true, .ever_synchronised = true, .replicates = true, .paired = true};
    bench.observed.replication.died = died;
    bench.observed.replication.alive = !died;
    bench.command(died ? "restart" : "stop");
    ASSERT_EQ(bench.memory.section.replica.role, ReplicaOrder::Role::Idle);
    EXPECT_EQ(bench.memory.section.paired, died);
  }
}

TEST(RolePlan, AStopInWaitDoesNotNeedAReplicaThatNeverRan) {
  Bench bench;
  bench.desired.mode = Mode::Mirror;
  bench.desired.replicates = true;
  bench.command("start");
  ASSERT_EQ(bench.state(), "WAIT Transient");
  bench.command("stop");
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RolePlan, NamesTheFaultThatStoppedItUntilTheNextStart) {
  Bench bench;
  bench.desired.mode = Mode::Mirror;
  bench.desired.replicates = true;
  bench.observed.replication = {.configured = true,
                                .order = {.role = ReplicaOrder::Role::Idle},
                                .alive = true,
                                .problem = "replicated directory '/data' is missing",
                                .fatal = true};
  bench.command("start");
  bench.observed.replication.alive = false;
  bench.settle();
  EXPECT_EQ(bench.state(), "STOP NotReady");
  EXPECT_EQ(bench.memory.section.reason, "replicated directory '/data' is missing");
  bench.observed.replication.fatal = false;
  bench.command("start");
  EXPECT_EQ(bench.memory.section.reason, "");
}

TEST(RolePlan, ANodeThatWaitsSaysWhatThatRestsOnAndWhatChanges) {
  Bench bench;
  bench.desired = {.replicates = true};
  bench.observed.replication = {.configured = true, .order = {.role = ReplicaOrder::Role::Idle}, .alive = true, .settled = true,
                                .ever_synchronised = true};
  bench.observed.peer = {.silence_known = true};
  bench.command("start");
  EXPECT_EQ(bench.memory.section.waiting_for, "notuptodate_server");
  EXPECT_EQ(bench.memory.section.evidence,
            (std::vector<std::string>{"the copy here is known to be old", "the other node is not heard on any network"}));
  EXPECT_EQ(memory_from_text(to_text(bench.memory)).value(), bench.memory);
  bench.observed.peer = {.heard = true};
  bench.settle();
  EXPECT_EQ(bench.memory.section.evidence.back(), "the module is stopped on the other node");
  bench.command("stop");
  EXPECT_TRUE(bench.memory.section.evidence.empty());
}

TEST(RolePlan, NamesTheScriptThatAskedForAStopAndItsExitCode) {
  Bench bench;
  bench.observed.operations = {{.id = 1, .verb = "start", .caller = "root"}};
  bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
  const std::uint64_t run = bench.memory.section.script->run;
  const std::string name = bench.memory.section.script->name;
  bench.observed.operations = {{.id = 2, .verb = "stop", .caller = "start_prim", .automatic = true}};
  bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
  bench.observed.operations.clear();
  bench.observed.script = {.run = run, .finished = true, .exit_code = 3};
  bench.settle();
  EXPECT_EQ(bench.state(), "STOP NotReady");
  EXPECT_EQ(bench.memory.section.reason,
            fmt::format("`safekit stop` was called by start_prim; script {} ended with exit code 3", name));
  bench.command("start");
  bench.command("stop");
  EXPECT_EQ(bench.memory.section.reason, "") << "an administrator's stop is no fault";
}

TEST(RolePlan, AFarmIsNotStartedBecauseFarmsDoNotRunYet) {
  Bench bench;
  bench.desired.mode = Mode::Farm;
  EXPECT_NE(bench.command("start").find("farm modules do not run yet"), std::string::npos);
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RolePlan, AnAddressOfAnotherMachineIsNotTaken) {
  Bench bench;
  bench.desired.mode = Mode::Mirror;
  bench.observed.peer.silence_known = true;
  bench.observed.addresses = {.problem = "10.0.0.9 is used by 02:00:00:00:00:01", .in_use_elsewhere = true, .probed = true};
  bench.command("start");
  EXPECT_EQ(bench.state(), "WAIT NotReady");
  EXPECT_EQ(bench.memory.section.waiting_for, "address_in_use");
  EXPECT_FALSE(bench.memory.section.addresses_wanted);
}

TEST(RolePlan, AFailoverTakesTheAddressThatTheLostPrimaryHadAtTheStart) {
  Bench bench;
  bench.desired.mode = Mode::Mirror;
  bench.observed.peer = {.heard = true, .module_known = true, .role = Role::Prim, .readiness = Readiness::Ready};
  bench.observed.addresses = {.problem = "10.0.0.9 is used by the peer", .in_use_elsewhere = true, .probed = true};
  bench.command("start");
  ASSERT_EQ(bench.state(), "SECOND Ready");
  bench.observed.peer = {.silence_known = true, .role = Role::Prim};
  bench.settle();
  EXPECT_TRUE(bench.memory.section.addresses_wanted);
  bench.observed.addresses.all_set = true;
  bench.settle();
  EXPECT_EQ(bench.state(), "ALONE Ready");
}

TEST(RolePlan, ADeletedModuleIsStopped) {
  Bench bench;
  bench.command("start");
  bench.desired.exists = false;
  bench.settle();
  EXPECT_EQ(bench.state(), "STOP NotReady");
  EXPECT_FALSE(bench.memory.started);
}

TEST(RolePlan, APrimaryGoesOnAloneOnlyOnAnAnswerAboutThisPairing) {
  MirrorBench bench{Role::Prim};
  bench.observed.replication.waiting_for_alone = true;
  bench.observed.replication.pairing = 7;
  // Said while its copy was being synchronised; the heartbeat that says how that ended has not come yet.
  bench.observed.peer.readiness = Readiness::Transient;
  bench.observed.peer.marked_out_of_date = true;
  for (const std::uint64_t answered : {0, 6}) {
    bench.observed.peer.answered_pairing = answered;
    EXPECT_FALSE(bench.decide_once().may_be_alone) << answered;
    EXPECT_TRUE(bench.memory.section.out_of_date_requested);
    EXPECT_EQ(bench.memory.section.asked_pairing, 7U);
  }
  bench.observed.peer.answered_pairing = 7;
  EXPECT_TRUE(bench.decide_once().may_be_alone);
  EXPECT_EQ(bench.memory.section.replica.pairing, 7U);
  EXPECT_FALSE(bench.memory.section.out_of_date_requested);
}

TEST(RolePlan, APrimaryAsksADoubtfulPeerAlsoWhereTheClockIsSetBack) {
  MirrorBench bench{Role::Prim};
  bench.memory.section.replica.may_be_alone = true;
  bench.memory.section.role = Role::Alone;
  bench.memory.section.watched = bench.observed.failover.watched = {WatchClass::Pre, WatchClass::Both, WatchClass::Prim, WatchClass::Sec};
  bench.observed.replication.order = bench.memory.section.replica;
  bench.observed.peer.up_to_date = true;
  bench.decide_once();
  EXPECT_FALSE(bench.memory.section.out_of_date_requested) << "a report may be on its way";
  bench.observed.wall_now.ns -= 900'000'000;
  bench.decide_once();
  bench.observed.wall_now.ns += 1'100'000'000;
  bench.decide_once();
  EXPECT_TRUE(bench.memory.section.out_of_date_requested);
}

TEST(RolePlan, ASecondaryMarksItsCopyForEachPairingThatItIsAskedAbout) {
  MirrorBench bench{Role::Second};
  bench.observed.peer.out_of_date_requested = true;
  // Also a copy that is thought to be old: the report of the end of its synchronisation may be on its way.
  for (const std::uint64_t asked : {7, 8}) {
    bench.observed.peer.asked_pairing = asked;
    EXPECT_TRUE(bench.decide_once().mark_out_of_date);
    EXPECT_EQ(bench.memory.section.replica.pairing, asked);
    bench.observed.replication.order = bench.memory.section.replica;
    bench.observed.replication.up_to_date = false;
    EXPECT_EQ(bench.decide_once(), bench.observed.replication.order);
  }
  bench.observed.peer.out_of_date_requested = false;
  EXPECT_FALSE(bench.decide_once().mark_out_of_date);
  EXPECT_EQ(bench.memory.section.replica.pairing, 0U);
}

/// It hears nothing of us, so it does not ask; and when it stops, this copy lacks what it has acknowledged.
TEST(RolePlan, ASecondaryWhosePrimaryWentOnWithoutItNeverTakesOver) {
  for (const bool is_unverified : {false, true}) {
    MirrorBench bench{Role::Second};
    if (is_unverified) bench.memory.section.readiness = Readiness::Transient;
    bench.observed.replication.unverified = is_unverified;
    bench.observed.replication.up_to_date = true;
    bench.observed.peer.paired = true;
    EXPECT_FALSE(bench.decide_once().mark_out_of_date) << "a lost stream alone says nothing";
    bench.observed.peer.role = Role::Alone;
    bench.observed.peer.paired = false;
    bench.observed.replication.connected = true;
    EXPECT_FALSE(bench.decide_once().mark_out_of_date) << "the stream lives";
    bench.observed.replication.connected = false;
    EXPECT_TRUE(bench.decide_once().mark_out_of_date);
    EXPECT_EQ(bench.memory.section.replica.pairing, 0U);
    EXPECT_EQ(bench.memory.section.readiness, Readiness::Transient);
  }
}

TEST(RolePlan, AFullSynchronisationThatWasAskedForIsDoneOnce) {
  MirrorBench bench{Role::Second};
  bench.desired.scripts = false;
  bench.memory.section.readiness = Readiness::Transient;
  bench.memory.full_resync = bench.memory.section.replica.full_resync = true;
  bench.observed.replication.order = bench.memory.section.replica;
  bench.observed.replication.connected = bench.observed.replication.peer_synchronised = true;
  bench.observed.peer.role = Role::Alone;
  bench.decide_once();
  ASSERT_EQ(bench.memory.section.readiness, Readiness::Ready);
  EXPECT_FALSE(bench.memory.full_resync) << "a stopstart does not ask for it again";
  bench.observed.peer.role = Role::Prim;
  bench.observed.peer.out_of_date_requested = true;
  bench.observed.peer.asked_pairing = 7;
  EXPECT_FALSE(bench.decide_once().full_resync) << "nor does a lost connection";
  EXPECT_TRUE(bench.memory.section.replica.mark_out_of_date);
}

TEST(RolePlan, ADateOfSyncAtLetsTheWaitingNodeFollow) {
  MirrorBench bench{Role::Wait};
  bench.desired.sync_at = "30 1 * * *";
  bench.memory.started = true;
  bench.observed.replication.settled = bench.observed.replication.alive = true;
  bench.observed.replication.ever_synchronised = true;
  bench.observed.replication.up_to_date = false;
  bench.observed.peer.role = Role::Alone;
  bench.observed.failover.watched = bench.memory.section.watched;
  bench.observed.sync_looked = WallTime{60};
  bench.decide_once();
  EXPECT_EQ(bench.memory.section.waiting_for, "rfs_syncat_wait");
  EXPECT_EQ(bench.memory.sync_looked, WallTime{60});
  bench.observed.sync_date = true;
  bench.decide_once();
  EXPECT_TRUE(bench.memory.sync_due);
  EXPECT_EQ(bench.memory.section.role, Role::Second);
}

TEST(RolePlan, ASynchronisationOfADateGoesOnAfterAReboot) {
  MirrorBench bench{Role::Wait};
  bench.desired.sync_at = "30 1 * * *";
  bench.observed.replication.inconsistent = true;
  bench.observed.replication.up_to_date = false;
  bench.observed.peer.role = Role::Alone;
  bench.observed.failover.watched = bench.memory.section.watched;
  bench.decide_once();
  EXPECT_FALSE(bench.memory.sync_due) << "forgotten with the boot";
  EXPECT_EQ(bench.memory.section.role, Role::Second) << "a half-synchronised copy is not left so until the next date";
}

TEST(MemoryText, ReadsWhatTheReleaseBeforeWrote) {
  Bench bench;
  bench.command("start");
  bench.memory.sync_due = true;
  bench.memory.sync_looked = WallTime{60};
  bench.memory.loop_exceeded = true;
  bench.memory.section.serving_since = WallTime{5};
  Bytes bytes;
  const std::string text = to_text(bench.memory);
  for (std::size_t i = text.find_last_of(' ') + 1; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  const auto old = [&bytes](int version) {
    std::string written = fmt::format("{} {:08x} ", version, checksum32(bytes));
    for (const std::uint8_t byte : bytes) written += fmt::format("{:02x}", byte);
    return written;
  };
  Memory expected = bench.memory;
  const auto orders = 1 + std::ranges::count_if(bench.memory.steps, [](const Step& step) { return std::holds_alternative<OrderReplica>(step); });
  bytes.resize(bytes.size() - 1);  // what came in 8
  EXPECT_EQ(memory_from_text(old(7)).value(), expected);
  bytes.resize(bytes.size() - 4 - 2 * static_cast<std::size_t>(orders));  // what came in 7
  EXPECT_EQ(memory_from_text(old(6)).value(), expected);
  bytes.resize(bytes.size() - 8);  // what came in 6
  expected.section.serving_since = {};
  EXPECT_EQ(memory_from_text(old(5)).value(), expected);
  bytes.resize(bytes.size() - 14);  // what came in 5
  expected.loop_last = {};
  expected.loop_exceeded = false;
  EXPECT_EQ(memory_from_text(old(4)).value(), expected);
  bytes.resize(bytes.size() - 9);  // what came in 4
  expected.sync_due = false;
  expected.sync_looked = {};
  EXPECT_EQ(memory_from_text(old(3)).value(), expected);
}

TEST(MemoryText, RefusesWhatItDidNotWrite) {
  Bench bench;
  bench.command("start");
  const std::string text = to_text(bench.memory);
  EXPECT_EQ(memory_from_text(text).value(), bench.memory);
  EXPECT_FALSE(memory_from_text("").has_value());
  EXPECT_FALSE(memory_from_text("1" + text.substr(1)).has_value());
  for (std::size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(memory_from_text(text.substr(0, i)).has_value()) << i;
    std::string damaged = text;
    damaged[i] = damaged[i] == '0' ? '1' : '0';
    if (damaged != text) (void)memory_from_text(damaged);  // must not crash; the checksum refuses all but luck
  }
}

}  // namespace safekit::role
