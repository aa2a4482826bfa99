#include "controllers/script/effect.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/kept_groups.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/memory_files.h"
#include "schema/fake/scripted_process.h"

namespace safekit::script {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

const ModuleName kDb{"db"};
const std::string kFact = "script/db";
const std::string kBin = "/state/private/modules/db/bin";

std::string spec_with(const std::string& scripts) {
  return R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},)"
         R"("spec":{"mode":"light","nodes":["a"])" +
         (scripts.empty() ? scripts : ",\"scripts\":" + scripts) + "}}";
}

class ScriptTest : public ::testing::Test {
 protected:
  ScriptTest() { restart(); }

  /// safekitd is killed and comes up again; what runs goes on.
  void restart() {
    processes.forget_callbacks();
    controller.reset();
    store = std::make_unique<store::Store>(backend, clock, NodeName{"a"});
    controller = std::make_unique<ScriptController>(
        *store, clock, processes, files, [this](const engine::Request&) { ++wakes; },
        Paths{.state_dir = "/state", .program_dir = "/usr/bin", .extra_environment = {}, .boot = "boot"}, &groups);
  }
  void apply(const std::string& scripts) {
    const auto applied = store->apply({store::Kind::Module, "db"}, spec_with(scripts), {});
    ASSERT_TRUE(applied.has_value()) << applied.error().what;
  }
  void order(std::uint64_t run, const std::string& name, Duration limit = {}) {
    store->update_status(kDb, [&](status::Module& m) {
      m.role.since = WallTime{1};
      m.role.script = status::ScriptOrder{
          .run = run, .name = name, .arguments = {"WAIT", "UP", "start"}, .time_limit = limit};
    });
  }
  engine::Outcome pass() {
    const auto outcome = controller->reconcile({"db"});
    EXPECT_TRUE(outcome.has_value()) << outcome.error().what;
    return outcome.value_or(engine::Outcome{});
  }
  const status::ScriptSection& section() { return store->status(kDb).script; }
  /// What the runner would write.
  std::string runner_file(std::uint64_t run, const std::string& text) {
    const std::string path = "/state/modules/db/run/script-" + std::to_string(run) + ".status";
    files.entries[path] = {text, 0640};
    return path;
  }

  fake::ManualClock clock{};
  fake::MemoryFiles files{};
  fake::ScriptedProcesses processes{};
  fake::KeptGroups groups{};
  store::MemoryBackend backend{};
  std::unique_ptr<store::Store> store{};
  std::unique_ptr<ScriptController> controller{};
  int wakes{0};
};

TEST_F(ScriptTest, RunsAScriptUnderTheRunnerAndReportsItsEnd) {
  apply(R"({"files":{"start_both":"#!/bin/sh\nexit 3\n"},"environment":{"PORT":"1"}})");
  order(1, "start_both");
  pass();
  EXPECT_EQ(files.entries.at(kBin + "/start_both").mode, 0755U);
  EXPECT_THAT(files.entries.at("/state/private/modules/db/conf/safeconf.xml").text,
              HasSubstr("mode=\"light\""));
  ASSERT_EQ(processes.started.size(), 1U);
  const ProcessSpec& started = processes.started[0];
  EXPECT_EQ(started.argv.front(), "/usr/bin/safekit-runner");
  EXPECT_THAT(started.argv, Contains(kBin + "/start_both"));
  EXPECT_EQ(started.argv.back(), "start");
  EXPECT_THAT(started.environment, Contains("PORT=1"));
  EXPECT_TRUE(section().running);
  EXPECT_THAT(section().output_file, EndsWith("_start_both.ulog"));
  EXPECT_THAT(store->events(kDb, 1, false).at(0).text, HasSubstr("Script start_both > userlog_"));

  runner_file(1, "pid=900\nstart_ticks=1\npgid=900\nexit=3\n");
  processes.end(101, {.code = 3});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_TRUE(section().finished);
  EXPECT_EQ(section().exit_code, 3);
  const auto told = store->events(kDb, 10, false);
  EXPECT_THAT(told.back().text, HasSubstr("Script start_both ended with exit code 3, see userlog_"));
  pass();
  EXPECT_EQ(store->events(kDb, 10, false).size(), told.size());
  EXPECT_EQ(processes.started.size(), 1U);
}

TEST_F(ScriptTest, WhatALeftScriptHasStartedIsFoundAndEnded) {
  apply(R"({"files":{"start_both":"x"}})");
  order(1, "start_both");
  pass();
  EXPECT_THAT(processes.started[0].argv, Contains("/groups/db/1"));
  const auto daemon = processes.add("daemon", "daemon -x");
  groups.groups["db/1"] = {daemon.pid};
  runner_file(1, "pid=900\nstart_ticks=1\npgid=900\nexit=0\n");
  processes.end(101, {.code = 0});
  pass();
  EXPECT_TRUE(section().finished);
  EXPECT_TRUE(section().left_running);
  store->update_status(kDb, [](status::Module& m) { m.role.script.reset(); });
  pass();
  pass();
  const auto told = store->events(kDb, 100, true);
  EXPECT_THAT(told.back().text, HasSubstr("go on: daemon (pid " + std::to_string(daemon.pid) + "); `safekit forcestop -m db` ends them"));
  EXPECT_EQ(std::ranges::count_if(told, [](const status::Event& event) { return event.level == 'W'; }), 1);

  order(2, std::string{status::kEndProcesses});
  pass();
  EXPECT_THAT(processes.signals, ElementsAre(std::pair{daemon.pid, SIGTERM}));
  EXPECT_FALSE(section().finished);
  restart();
  order(2, std::string{status::kEndProcesses});
  clock.advance(kGrace);
  pass();
  EXPECT_THAT(groups.killed, ElementsAre("db"));
  pass();
  EXPECT_TRUE(section().finished);
  EXPECT_FALSE(section().left_running);
}

TEST_F(ScriptTest, SaysOnceThatNothingCanBeFound) {
  groups.why_not = "none here";
  apply(R"({"files":{"start_both":"x"}})");
  order(1, "start_both");
  pass();
  EXPECT_EQ(std::ranges::count(processes.started[0].argv, "--group"), 0);
  EXPECT_THAT(store->events(kDb, 2, true).front().text, HasSubstr("is not found on this node: none here"));
}

TEST_F(ScriptTest, ConfiguresARevisionOnceAndTellsWhatFailed) {
  apply(R"({"files":{"config":"x","postconfig":"y"}})");
  store->update_status(kDb, [](status::Module& m) { m.role.since = WallTime{1}; });
  pass();
  ASSERT_EQ(processes.started.size(), 1U);
  EXPECT_EQ(processes.started[0].argv.back(), kBin + "/config");
  EXPECT_TRUE(controller->configuration("db").running);
  order(1, "transition");
  store->update_status(kDb, [](status::Module& m) { m.role.script->arguments = {"STOP", "WAIT", "start"}; });
  pass();
  EXPECT_EQ(section().run, 0U) << "it starts configured";
  processes.end(101, {.code = 0});
  pass();
  ASSERT_EQ(processes.started.size(), 2U);
  EXPECT_EQ(processes.started[1].argv.back(), kBin + "/postconfig");
  processes.end(102, {.code = 1});
  pass();
  EXPECT_EQ(section().unconfigured, "script postconfig ended with exit code 1");
  const auto& conditions = store->status(kDb).conditions;
  ASSERT_EQ(conditions.size(), 1U);
  EXPECT_EQ(conditions[0].type, "Configured");
  EXPECT_EQ(conditions[0].reason, "ScriptFailed");
  pass();
  EXPECT_EQ(section().run, 1U);
  restart();
  order(1, "transition");
  pass();
  EXPECT_EQ(processes.started.size(), 2U) << "no second time";
  EXPECT_EQ(section().unconfigured, "script postconfig ended with exit code 1");
}

TEST_F(ScriptTest, TheApplicationByHandIsRememberedForThisBoot) {
  apply(R"({"files":{"start_both":"x","stop_both":"y"}})");
  store->update_status(kDb, [](status::Module& m) { m.role.since = WallTime{1}; });
  pass();
  EXPECT_TRUE(files.entries.contains(kBin + "/db_start_wrapper"));
  ASSERT_TRUE(controller->ask("db", AskedKind::Start));
  EXPECT_FALSE(controller->ask("db", AskedKind::Stop)) << "one at a time";
  pass();
  EXPECT_TRUE(section().by_hand);
  EXPECT_TRUE(processes.started.empty()) << "its addresses come first";
  store->update_status(kDb, [](status::Module& m) { m.addresses = {.all_set = true, .all_unset = false}; });
  pass();
  ASSERT_EQ(processes.started.size(), 1U);
  processes.end(101, {.code = 4});
  pass();
  EXPECT_EQ(controller->asked("db", AskedKind::Start)->phase, Asked::Phase::Over);
  EXPECT_EQ(controller->asked("db", AskedKind::Start)->exit_code, 4);
  restart();
  store->update_status(kDb, [](status::Module& m) { m.role.since = WallTime{1}; });
  pass();
  EXPECT_TRUE(section().by_hand);
  ASSERT_TRUE(controller->ask("db", AskedKind::Stop));
  processes.end(102, {.code = 0});
  pass();
  pass();
  EXPECT_FALSE(section().by_hand);
  EXPECT_EQ(controller->asked("db", AskedKind::Stop)->phase, Asked::Phase::Over);
}

TEST_F(ScriptTest, WaitsForTheSameScriptAfterARestart) {
  apply(R"({"files":{"start_both":"x"}})");
  order(1, "start_both");
  pass();
  runner_file(1, "pid=900\nstart_ticks=1\npgid=900\n");
  restart();
  order(1, "start_both");
  pass();
  EXPECT_TRUE(section().running);
  EXPECT_EQ(processes.started.size(), 1U);
  EXPECT_EQ(processes.watch_count(), 1U);
  runner_file(1, "pid=900\nstart_ticks=1\npgid=900\nsignal=9\n");
  processes.end(101, {});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_TRUE(section().finished);
  EXPECT_EQ(section().exit_code, 137);
}

TEST_F(ScriptTest, FindsARunnerWhoseStartWasNotNoted) {
  apply(R"({"files":{"start_both":"x"}})");
  order(1, "start_both");
  pass();
  Record record = *decode(*store->fact("script/db"));
  record.runner_pid = 0;
  record.runner_ticks = 0;
  ASSERT_TRUE(store->set_fact("script/db", encode(record), false).has_value());
  restart();
  order(1, "start_both");
  pass();
  EXPECT_EQ(processes.started.size(), 1U);
  EXPECT_TRUE(section().running);
}

TEST_F(ScriptTest, StartsAgainWhatNeverBegan) {
  apply(R"({"files":{"start_both":"x"}})");
  order(1, "start_both");
  pass();
  Record record = *decode(*store->fact("script/db"));
  record.runner_pid = 0;
  ASSERT_TRUE(store->set_fact("script/db", encode(record), false).has_value());
  processes.end(101, {});
  restart();
  order(1, "start_both");
  pass();
  EXPECT_EQ(processes.started.size(), 2U);
  // A runner that cannot write its file has not begun the script either: an error, its backoff, and again.
  processes.end(102, {.code = 125});
  EXPECT_FALSE(controller->reconcile({"db"}).has_value());
  pass();
  EXPECT_EQ(processes.started.size(), 3U);
}

TEST_F(ScriptTest, WaitsForAScriptThatOutlivesItsRunner) {
  apply(R"({"files":{"start_both":"x"}})");
  order(1, "start_both");
  pass();
  const ProcessIdentity script = processes.add("start_both", kBin + "/start_both");
  runner_file(
      1, "pid=" + std::to_string(script.pid) + "\nstart_ticks=" + std::to_string(script.start_ticks) + "\n");
  processes.end(101, {.signal = SIGKILL});
  pass();
  EXPECT_TRUE(section().running);
  processes.end(script.pid, {});
  pass();
  EXPECT_TRUE(section().finished);
  EXPECT_EQ(section().exit_code, 137);
}

TEST_F(ScriptTest, EndsAScriptAtItsLimit) {
  apply(R"({"files":{"stop_both":"x"}})");
  order(1, "stop_both", seconds{10});
  EXPECT_EQ(pass().requeue_after, seconds{10});
  runner_file(1, "pid=900\nstart_ticks=1\npgid=900\n");
  clock.advance(seconds{10});
  pass();
  clock.advance(kGrace);
  pass();
  EXPECT_THAT(processes.signals, ElementsAre(std::pair{900, SIGTERM}, std::pair{900, SIGKILL}));
  runner_file(1, "pid=900\nsignal=9\n");
  processes.end(101, {.signal = 9});
  pass();
  EXPECT_TRUE(section().timed_out);
  EXPECT_TRUE(section().finished);
}

TEST_F(ScriptTest, CountsAMissingScriptAsDone) {
  apply("");
  order(1, "start_both");
  pass();
  EXPECT_TRUE(section().missing);
  EXPECT_TRUE(section().finished);
  EXPECT_TRUE(processes.started.empty());
}

TEST_F(ScriptTest, PutsNewScriptsInPlaceOnlyWhenNoneRuns) {
  apply(R"({"files":{"start_both":"old","helper":"h"}})");
  order(1, "start_both");
  pass();
  runner_file(1, "pid=900\nstart_ticks=1\n");
  apply(R"({"files":{"start_both":"new"},"logging":"none"})");
  pass();
  EXPECT_EQ(files.entries.at(kBin + "/start_both").text, "old");
  runner_file(1, "pid=900\nexit=0\n");
  processes.end(101, {.code = 0});
  pass();
  EXPECT_EQ(files.entries.at(kBin + "/start_both").text, "new");
  EXPECT_FALSE(files.entries.contains(kBin + "/helper"));
  order(2, "start_both");
  pass();
  EXPECT_THAT(processes.started.back().argv, Contains("-"));
  EXPECT_EQ(store->events(kDb, 1, false).at(0).text, "Script start_both");
}

TEST_F(ScriptTest, KeepsNoFactOfADeletedModuleButThatOfOneThatIsStillBeingStopped) {
  apply("{}");
  order(1, "start_both");
  pass();
  ASSERT_TRUE(store->fact(kFact).has_value());
  ASSERT_TRUE(store->remove({store::Kind::Module, "db"}, {}).has_value());
  restart();
  pass();  // its role has not spoken yet
  EXPECT_TRUE(store->fact(kFact).has_value());
  order(1, "start_both");
  pass();
  store->forget_status(kDb);
  pass();
  EXPECT_FALSE(store->fact(kFact).has_value());
}

TEST_F(ScriptTest, RunsTheProgramOfACheckerWhileItIsWatched) {
  apply(R"({"files":{"disk.sh":"#!/bin/sh\nexit 0\n"}})");
  store->update_status(kDb, [](status::Module& m) {
    m.role.since = WallTime{1};
    m.checker.programs["custom.disk"] = {.exec = "disk.sh", .arguments = {"db", "custom.disk"}, .interval = seconds{10}, .timeout = seconds{3}};
  });
  EXPECT_EQ(pass().requeue_after, seconds{3});
  ASSERT_EQ(processes.started.size(), 1U);
  EXPECT_THAT(processes.started[0].argv,
              ElementsAre("/usr/bin/safekit-runner", "--status", "/state/modules/db/run/checker-custom.disk.status", "--output",
                          "/state/modules/db/userlog_custom.disk.ulog", "--", kBin + "/disk.sh", "db", "custom.disk"));
  EXPECT_THAT(processes.started[0].environment, Contains("SAFEMODULE=db"));
  EXPECT_TRUE(files.entries.contains(kBin + "/disk.sh"));
  processes.end(processes.running.begin()->first, {.code = 1, .signal = {}});
  pass();
  EXPECT_EQ(section().checkers.at("custom.disk"), (status::CheckerRun{.count = 1, .fine = false}));
  store->update_status(kDb, [](status::Module& m) { m.checker.programs.clear(); });
  pass();
  EXPECT_TRUE(section().checkers.empty());
}

TEST_F(ScriptTest, EndsTheCheckersThatAnOlderSafekitdLeft) {
  apply("");
  const ProcessIdentity left = processes.add("disk.sh", "disk.sh db custom.disk");
  files.entries["/state/modules/db/run/checker-custom.disk.status"].text =
      "pid=" + std::to_string(left.pid) + "\nstart_ticks=" + std::to_string(left.start_ticks) + "\n";
  pass();
  EXPECT_THAT(processes.signals, ElementsAre(std::pair{left.pid, SIGKILL}));
  EXPECT_FALSE(files.entries.contains("/state/modules/db/run/checker-custom.disk.status"));
}

}  // namespace
}  // namespace safekit::script
