#include <gtest/gtest.h>

#include "controllers/role/bench.h"
#include "controllers/role/memory_text.h"

namespace safekit::role {
namespace {

using bench::Bench;
using bench::MirrorBench;

TEST(RoleLoop, StopsAtTheFourthCorrectiveAction) {
  Bench bench;
  bench.command("start");
  for (int i = 0; i < 3; ++i) {
    bench.errd_asks("restart");
    EXPECT_EQ(bench.state(), "UP Ready") << i;
  }
  bench.errd_asks("restart");
  EXPECT_EQ(bench.state(), "STOP NotReady");
  EXPECT_TRUE(bench.said("Action stop called by maxloop"));
}

TEST(RoleLoop, CountsOnlyInsideTheLoopInterval) {
  Bench bench;
  bench.desired.loop_interval = seconds{10};
  bench.command("start");
  for (int i = 0; i < 10; ++i) {
    bench.errd_asks("restart");
    bench.observed.wall_now.ns += 11'000'000'000;
  }
  EXPECT_EQ(bench.state(), "UP Ready");
}

TEST(RoleLoop, AnAdministratorsCommandResetsTheCounterAndAnIdentityCounts) {
  Bench bench;
  bench.command("start");
  for (int i = 0; i < 10; ++i) bench.command("restart");
  EXPECT_EQ(bench.state(), "UP Ready");
  for (int i = 0; i < 4; ++i) bench.command("restart", true);
  EXPECT_EQ(bench.state(), "STOP NotReady");
}

TEST(RoleLoop, AnAutomaticCommandThatIsRefusedOrNoCorrectionCountsForNothing) {
  Bench bench;
  for (int i = 0; i < 5; ++i) EXPECT_NE(bench.command("restart", true), "done") << "it is stopped";
  EXPECT_FALSE(bench.memory.stopping) << "what is stopped is not stopped by maxloop";
  EXPECT_TRUE(bench.lines.empty()) << bench.lines.back();
  MirrorBench mirror{Role::Second};
  mirror.desired.sync_at = "30 1 * * *";
  for (std::uint64_t i = 0; i < 5; ++i) {
    mirror.observed.operations = {{.id = i, .verb = store::kSyncNow, .caller = "cron", .automatic = true}};
    mirror.memory = decide(mirror.desired, mirror.observed, mirror.memory).memory;
  }
  EXPECT_EQ(mirror.memory.section.loop_count, 0U);
  EXPECT_TRUE(mirror.memory.sync_due);
}

TEST(RoleLoop, TheLinesOfAStopAtTheLimitComeInTheOrderOfSafeKit) {
  Bench bench;
  bench.desired.max_loop = 0;
  bench.command("start");
  bench.lines.clear();
  bench.errd_asks("restart");
  std::vector<std::string> said = bench.lines;
  std::erase_if(said, [](const std::string& line) { return line.starts_with("Script"); });
  EXPECT_EQ(said, (std::vector<std::string>{"Action restart called by errd", "Action stop called by maxloop",
                                            "Local state UP Transient", "Action stop called by heart : local fault",
                                            "Local state WAIT Transient", "Action stop called by maxloop",
                                            "Local state STOP NotReady"}));
  EXPECT_TRUE(bench.memory.loop_exceeded);
  EXPECT_EQ(bench.memory.section.reason, "stopped after 0 corrective actions within 24h: mend the cause, then `safekit start`");
  bench.command("start");
  EXPECT_FALSE(bench.memory.loop_exceeded);
  EXPECT_EQ(bench.memory.section.loop_count, 0U);
}

TEST(RoleLoop, AtTheLimitAStopComesInThePlaceOfAnyAction) {
  for (const std::string verb : {"restart", "stopstart"}) {
    Bench bench;
    bench.desired.max_loop = 1;
    bench.command("start");
    EXPECT_EQ(bench.command(verb, true), "done");
    EXPECT_EQ(bench.state(), "UP Ready") << verb;
    bench.lines.clear();
    EXPECT_EQ(bench.command(verb, true), "done");
    EXPECT_EQ(bench.state(), "STOP NotReady") << verb;
    EXPECT_EQ(bench.lines.front(), fmt::format("Action {} called by checker", verb));
    EXPECT_FALSE(bench.memory.started) << "it must not start again";
  }
}

TEST(RoleLoop, HandlersCountByThemselvesAndAreToldOfTheLimit) {
  Bench bench;
  bench.desired.max_loop = 2;
  bench.command("start");
  EXPECT_NE(bench.command("incloop"), "done") << "who counts has a name";
  EXPECT_EQ(bench.command("incloop", true), "done");
  EXPECT_EQ(bench.command("incloop", true), "done");
  EXPECT_EQ(bench.command("checkloop"), "done");
  EXPECT_EQ(bench.memory.section.loop_count, 2U) << "to ask is not to reset";
  EXPECT_NE(bench.command("incloop", true), "done");
  EXPECT_EQ(bench.memory.section.loop_count, 3U) << "the last one counts as well";
  EXPECT_EQ(bench.state(), "UP Ready") << "the handler decides what follows";
  EXPECT_NE(bench.command("checkloop"), "done");
  bench.observed.wall_now.ns += Duration{hours{25}}.count();
  EXPECT_EQ(bench.command("checkloop"), "done") << "the last one is longer ago than the interval";
  EXPECT_EQ(bench.command("incloop", true), "done") << "so it begins anew";
  EXPECT_EQ(bench.command("resetloop", true), "done");
  EXPECT_EQ(bench.memory.section.loop_count, 0U);
  bench.desired.loop_interval = {};
  for (int i = 0; i < 9; ++i) EXPECT_EQ(bench.command("incloop", true), "done") << "without an interval there is no limit";
}

TEST(RoleLoop, ADetectorsStopstartRebootsTheNodeWhenTheModuleHasStopped) {
  for (const bool from_rule : {false, true}) {
    Bench bench;
    bench.desired.automatic_reboot = true;
    bench.command("start");
    if (from_rule) {
      bench.errd_asks("stopstart");
    } else {
      bench.command("stopstart", true);
    }
    EXPECT_EQ(bench.state(), "STOP NotReady");
    EXPECT_TRUE(decide(bench.desired, bench.observed, bench.memory).reboot);
    EXPECT_EQ(memory_from_text(to_text(bench.memory)).value(), bench.memory);
    // The reboot is the start's: the count goes on, or a cause that it does not cure would reboot for ever.
    Bench after;
    after.desired = bench.desired;
    after.memory = after_boot(bench.memory, false);
    after.settle();
    EXPECT_EQ(after.state(), "UP Ready");
    EXPECT_TRUE(after.said("Action start called automatically"));
    EXPECT_EQ(after.memory.section.loop_count, 1U);
    // Refused: the effect takes the wish back, and the second half follows here.
    bench.memory.reboot = false;
    bench.settle();
    EXPECT_EQ(bench.state(), "UP Ready");
  }
}

TEST(RoleLoop, NoRebootForAPersonsStopstartNorAtTheLimitNorForARestart) {
  Bench bench;
  bench.desired.automatic_reboot = true;
  bench.desired.max_loop = 1;
  bench.command("start");
  bench.command("stopstart");
  EXPECT_EQ(bench.state(), "UP Ready");
  bench.errd_asks("restart");
  EXPECT_EQ(bench.state(), "UP Ready");
  bench.errd_asks("stopstart");
  EXPECT_EQ(bench.state(), "STOP NotReady");
  EXPECT_FALSE(decide(bench.desired, bench.observed, bench.memory).reboot);
  EXPECT_FALSE(after_boot(bench.memory, false).started);
}

}  // namespace
}  // namespace safekit::role
