#include "controllers/script/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::script {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

constexpr MonoTime kNow{100'000'000'000};

status::ScriptOrder order(std::uint64_t run, Duration limit = {}) {
  return {.run = run, .name = "start_prim", .arguments = {"WAIT", "ALONE", "start"}, .time_limit = limit};
}
Desired wants(std::uint64_t run, Duration limit = {}) {
  return {.order = order(run, limit), .has_scripts = true, .exists = true};
}
Execution running(std::uint64_t id, Duration limit = {}) {
  return {.id = id, .name = "start_prim", .started = kNow, .time_limit = limit};
}
Execution finished(std::uint64_t id) {
  Execution run = running(id);
  run.phase = Execution::Phase::Finished;
  return run;
}

TEST(ScriptPlan, StartsAnOrderOnce) {
  EXPECT_THAT(decide(wants(1), {}, kNow).actions, ElementsAre(Action{Start{order(1)}}));
  EXPECT_TRUE(decide(wants(1), {.run = running(1)}, kNow).actions.empty());
  EXPECT_TRUE(decide(wants(1), {.run = finished(1)}, kNow).actions.empty());
  EXPECT_THAT(decide(wants(2), {.run = finished(1)}, kNow).actions, ElementsAre(Action{Start{order(2)}}));
}

TEST(ScriptPlan, LeavesARunningScriptAloneWhenNothingIsOrdered) {
  EXPECT_EQ(decide({}, {.run = running(1)}, kNow), Plan{});
  EXPECT_EQ(decide({}, {}, kNow), Plan{});
}

TEST(ScriptPlan, SkipsWhatIsMissing) {
  Desired desired = wants(3);
  desired.exists = false;
  EXPECT_THAT(decide(desired, {}, kNow).actions, ElementsAre(Action{Skip{3}}));
  desired = wants(3);
  desired.has_scripts = false;
  EXPECT_THAT(decide(desired, {.run = finished(2)}, kNow).actions, ElementsAre(Action{Skip{3}}));
}

TEST(ScriptPlan, MaterialisesBeforeItStartsAndNeverWhileOneRuns) {
  EXPECT_THAT(decide(wants(1), {.materialised = false}, kNow).actions,
              ElementsAre(Action{Materialise{}}, Action{Start{order(1)}}));
  EXPECT_TRUE(decide(wants(1), {.run = running(1), .materialised = false}, kNow).actions.empty());
  EXPECT_THAT(decide({}, {.materialised = false}, kNow).actions, ElementsAre(Action{Materialise{}}));
}

TEST(ScriptPlan, EndsAScriptAtItsTimeLimit) {
  const Duration limit = seconds{10};
  Execution run = running(1, limit);
  EXPECT_EQ(decide(wants(1, limit), {.run = run}, kNow + seconds{4}), (Plan{.recheck_after = seconds{6}}));
  EXPECT_EQ(decide(wants(1, limit), {.run = run}, kNow + limit),
            (Plan{.actions = {Signal{.kill = false, .timed_out = true}}, .recheck_after = kGrace}));
  run.terminated = kNow + limit;
  run.timed_out = true;
  EXPECT_EQ(decide(wants(1, limit), {.run = run}, kNow + limit + seconds{1}),
            (Plan{.recheck_after = kGrace - seconds{1}}));
  EXPECT_EQ(decide(wants(1, limit), {.run = run}, kNow + limit + kGrace),
            (Plan{.actions = {Signal{.kill = true, .timed_out = true}}, .recheck_after = kGrace}));
  run.killed = true;
  EXPECT_EQ(decide(wants(1, limit), {.run = run}, kNow + limit + kGrace), (Plan{.recheck_after = kGrace}));
}

TEST(ScriptPlan, EndsTheOlderScriptForANewOrder) {
  EXPECT_EQ(decide(wants(2), {.run = running(1)}, kNow),
            (Plan{.actions = {Signal{.kill = false, .timed_out = false}}, .recheck_after = kGrace}));
}

TEST(ScriptPlan, AModuleThatStartsWaitsForItsConfigurationAndOneThatRunsDoesNot) {
  Desired starts = wants(1);
  starts.order->arguments = {"STOP", "WAIT", "start"};
  EXPECT_EQ(decide(starts, {.configuring = true}, kNow), Plan{});
  EXPECT_EQ(decide(starts, {}, kNow).actions.size(), 1U);
  starts.order->arguments = {"SECOND", "ALONE"};
  EXPECT_EQ(decide(starts, {.configuring = true}, kNow).actions.size(), 1U);
}

TEST(ScriptPlan, EndsWhatScriptsHaveLeftBehind) {
  using Step = EndLeft::Step;
  Desired desired = wants(4);
  desired.order->name = status::kEndProcesses;
  EXPECT_EQ(decide(desired, {}, kNow), (Plan{.actions = {Skip{4}}}));
  EXPECT_EQ(decide(desired, {.left_running = true}, kNow), (Plan{.actions = {EndLeft{.step = Step::Begin, .id = 4}}, .recheck_after = kLeftPoll}));
  Execution run{.id = 4, .name = std::string{status::kEndProcesses}, .started = kNow};
  EXPECT_EQ(decide(desired, {.run = run, .left_running = true}, kNow + seconds{1}), (Plan{.recheck_after = kLeftPoll}));
  EXPECT_EQ(decide(desired, {.run = run}, kNow + seconds{1}).actions, (std::vector<Action>{EndLeft{.step = Step::Finish, .id = 4}}));
  EXPECT_EQ(decide(desired, {.run = run, .left_running = true}, kNow + kGrace).actions, (std::vector<Action>{EndLeft{.step = Step::Kill, .id = 4}}));
  run.killed = true;
  EXPECT_EQ(decide(desired, {.run = run, .left_running = true}, kNow + 2 * kGrace).actions,
            (std::vector<Action>{EndLeft{.step = Step::Finish, .id = 4, .all_gone = false}}));
}

TEST(ScriptText, NamesTheOutputAndTheLogLine) {
  const WallTime time{parse_wall_time("2026-11-23T20:00:11.123456Z").value()};
  EXPECT_EQ(output_name(time, "stop_prim"), "userlog_2026-11-23T200011_stop_prim.ulog");
  EXPECT_EQ(log_line(order(1), "userlog_x.ulog"), "Script start_prim > userlog_x.ulog");
  EXPECT_EQ(log_line({.run = 1, .name = "stop_prim", .arguments = {"force", "PRIM", "WAIT", "stop"}}, "u"),
            "Script stop_prim \"force\" > u");
  EXPECT_EQ(log_line({.run = 1, .name = "prestart", .arguments = {"STOP", "WAIT", "start"}}, ""),
            "Script prestart \"start\"");
}

TEST(ScriptText, GivesTheEnvironmentOfTheSpec) {
  const auto lines =
      environment_of({.module = "db",
                      .state_dir = "/var/lib/safekit",
                      .program_dir = "/usr/bin",
                      .variables = {{"PORT", "5432"}, {"SAFEMODULE", "other"}, {"PATH", "/mine"}},
                      .extra = {}});
  EXPECT_THAT(lines, Contains("PORT=5432"));
  EXPECT_THAT(lines, Contains("SAFEMODULE=db"));
  EXPECT_THAT(lines, Not(Contains("SAFEMODULE=other")));
  EXPECT_THAT(lines, Contains("PATH=/mine"));
  EXPECT_THAT(lines, Contains("SAFEUSERBIN=/var/lib/safekit/private/modules/db/bin"));
  EXPECT_THAT(lines, Contains("SAFEUSERVAR=/var/lib/safekit/modules/db"));
  EXPECT_THAT(lines, Contains("SAFECONF=/var/lib/safekit/private/conf"));
  EXPECT_EQ(lines.size(), 3U + 1U + 8U);  // PATH HOME LANG, PORT, the eight of the spec
}

TEST(ScriptText, KeepsARecordAsText) {
  Record record{.run = running(7, seconds{300}), .runner_pid = 42, .runner_ticks = 18'000'000'000ULL};
  record.run.output_file = "/var/lib/safekit/modules/db/userlog_a=b.ulog";
  record.run.terminated = kNow;
  record.run.timed_out = true;
  record.run.exit_code = 143;
  EXPECT_EQ(decode(encode(record)), record);
  EXPECT_EQ(decode(""), std::nullopt);
  EXPECT_EQ(decode("run=x\n"), std::nullopt);
}

TEST(ScriptText, ReadsTheRunnersStatus) {
  EXPECT_EQ(parse_runner_status("pid=12\nstart_ticks=99\npgid=12\n"),
            (RunnerStatus{.pid = 12, .start_ticks = 99, .group = 12}));
  EXPECT_EQ(parse_runner_status("pid=12\nexit=3\n").exit_code, 3);
  EXPECT_EQ(parse_runner_status("signal=9\n").signal, 9);
  EXPECT_EQ(parse_runner_status("rubbish\n=\nexit=\n"), RunnerStatus{});
}

TEST(ScriptText, BoundsOutputFilesInSizeAndNumber) {
  std::vector<LogFile> files{{"userlog_b_x.ulog", 10}, {"userlog_a_x.ulog", 2000}, {"log.db", 9999}};
  EXPECT_THAT(housekeeping(files, 2000).truncate, ElementsAre("userlog_a_x.ulog"));
  EXPECT_TRUE(housekeeping(files, 2000).remove.empty());
  files.clear();
  for (std::size_t i = 0; i < kOutputFilesMax + 2; ++i)
    files.push_back({fmt::format("userlog_{:05}.ulog", i), 0});
  EXPECT_THAT(housekeeping(files, 2000).remove, ElementsAre("userlog_00000.ulog", "userlog_00001.ulog"));
}

}  // namespace
}  // namespace safekit::script
