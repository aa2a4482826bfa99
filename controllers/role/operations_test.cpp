#include <gtest/gtest.h>

#include "controllers/role/bench.h"
#include "controllers/role/memory_text.h"

namespace safekit::role {
namespace {

using bench::Bench;
using bench::MirrorBench;

TEST(RoleOperations, AnUpdateRunsItsScriptInAnUnchangedState) {
  Bench bench;
  EXPECT_NE(bench.command("update"), "done") << "it is stopped";
  bench.command("start");
  bench.lines.clear();
  bench.memory.section.loop_count = 2;
  bench.observed.operations = {{.id = 90, .verb = "update", .caller = "root"}};
  bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
  bench.observed.operations.clear();
  ASSERT_TRUE(bench.memory.section.script);
  EXPECT_EQ(bench.memory.section.script->name, "update");
  EXPECT_EQ(bench.memory.section.script->arguments, (std::vector<std::string>{"UP", "UP"}));
  EXPECT_EQ(bench.state(), "UP Ready");
  EXPECT_EQ(bench.memory.section.loop_count, 2U) << "it corrects nothing, and says nothing of what was corrected";
  // What is detected meanwhile is not forgotten.
  bench.observed.errd.request = status::ActionRequest{.id = 91, .action = "restart", .by = "errd"};
  bench.memory = decide(bench.desired, bench.observed, bench.memory).memory;
  EXPECT_EQ(bench.memory.section.script->name, "update");
  bench.settle();
  EXPECT_TRUE(bench.said("Action restart called by errd"));
  for (const Role role : {Role::Prim, Role::Second}) {
    MirrorBench pair{role};
    pair.observed.operations = {{.id = 1, .verb = "update", .caller = "root"}};
    EXPECT_NE(decide(pair.desired, pair.observed, pair.memory).finished.front().outcome, "done") << "it would hold a failover up";
  }
}

TEST(RoleOperations, AnUpdateDuringAnUpdateRunsItsScriptOnceMore) {
  Bench bench;
  bench.command("start");
  std::size_t runs = 0;
  const auto decide_with = [&](std::vector<store::Operation> operations) {
    bench.observed.operations = std::move(operations);
    const Plan plan = decide(bench.desired, bench.observed, bench.memory);
    for (const auto& finished : plan.finished) EXPECT_EQ(finished.outcome, "done");
    bench.memory = plan.memory;
  };
  decide_with({{.id = 90, .verb = "update", .caller = "root"}});
  decide_with({{.id = 91, .verb = "update", .caller = "root"}, {.id = 92, .verb = "update", .caller = "root"}});
  for (; bench.memory.section.script && runs < 10; ++runs) {
    EXPECT_EQ(bench.memory.section.script->name, "update");
    bench.observed.script = {.run = bench.memory.section.script->run, .finished = true};
    decide_with({});
  }
  EXPECT_EQ(runs, 2U);
}

TEST(RoleOperations, AShutdownIsAStopUnderItsOwnNameAndABootHasNoBy) {
  Bench bench;
  EXPECT_EQ(bench.command("shutdown"), "done");
  EXPECT_TRUE(bench.lines.empty()) << "it was stopped before";
  bench.observed.operations = {{.id = 80, .verb = "start", .caller = store::kAtBootTime}};
  bench.settle();
  EXPECT_EQ(bench.lines.front(), "Action start called at boot time");
  EXPECT_EQ(bench.command("shutdown"), "done");
  EXPECT_TRUE(bench.said("Action shutdown called by root"));
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RoleOperations, PrimForceTakesAHalfSynchronisedCopyWhichPrimRefuses) {
  Bench bench;
  bench.desired = {.replicates = true};
  bench.observed.replication = {.configured = true, .order = {.role = ReplicaOrder::Role::Idle}, .alive = true, .settled = true,
                                .inconsistent = true, .ever_synchronised = true};
  bench.observed.peer = {.silence_known = true};
  bench.command("prim");
  EXPECT_TRUE(bench.said("If you are sure that this server has valid data, run safekit primforce to force start as primary"));
  EXPECT_TRUE(bench.said("Requested prim start aborted"));
  EXPECT_TRUE(bench.memory.stopping);
  bench.observed.replication.alive = false;
  bench.settle();
  ASSERT_EQ(bench.state(), "STOP NotReady");
  bench.observed.replication.alive = true;
  EXPECT_EQ(bench.command("primforce"), "done");
  EXPECT_EQ(bench.memory.section.replica, (ReplicaOrder{.role = ReplicaOrder::Role::Primary, .may_be_alone = true,
                                                        .force_up_to_date = true, .full_resync = true}));
  EXPECT_EQ(memory_from_text(to_text(bench.memory)).value(), bench.memory);
}

}  // namespace
}  // namespace safekit::role
