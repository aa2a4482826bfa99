#include "controllers/failover/effect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::failover {
namespace {

using ::testing::ElementsAre;

const ModuleName kDb{"db"};

class FailoverTest : public ::testing::Test {
 protected:
  void apply(const std::string& rules) {
    const auto module = store.apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
        R"("nodes":["a","b"],"heartbeats":{"lans":["net"]},)"
        R"("checkers":{"tcp":[{"ident":"web","address":"127.0.0.1","port":80}]})" +
            rules + "}}",
        {});
    ASSERT_TRUE(module.has_value()) << module.error().what;
  }
  void set(const std::string& resource, const std::string& value) {
    store.update_status(kDb, [&](status::Module& m) { m.resources[resource] = {.value = value}; });
  }
  void pass() { ASSERT_TRUE(controller.reconcile({"db"}).has_value()); }
  const status::FailoverSection& section() { return store.status(kDb).failover; }

  fake::ManualClock clock{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  FailoverController controller{store, clock};
};

TEST_F(FailoverTest, ActsByTheRulesOfCheckersAndByTheUsers) {
  apply(R"(,"failoverRules":{"rules":["mine: if (custom.queue == down) then stopstart();"]})");
  pass();
  EXPECT_FALSE(section().request.has_value());
  set("tcp.web", "down");
  pass();
  EXPECT_EQ(section().request->by, "t_web");
  set("custom.queue", "down");
  pass();
  EXPECT_EQ(section().request->by, "mine");
  EXPECT_EQ(section().verdicts.at("mine").because, std::vector<std::string>{"custom.queue is down"});
  EXPECT_NE(section().verdicts.at("mine").since, WallTime{});
}

TEST_F(FailoverTest, ALongerPeriodKeepsEvaluationsApartAndAShorterOneIsMetAnyhow) {
  apply(R"(,"failoverRules":{"period":"30s","handleTime":"30s"})");
  pass();
  clock.advance(seconds{10});
  set("tcp.web", "down");
  const auto outcome = controller.reconcile({"db"});
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->requeue_after, seconds{20});
  EXPECT_FALSE(section().verdicts.at("t_web").holds == "holds");
  clock.advance(seconds{20});
  pass();
  EXPECT_EQ(section().verdicts.at("t_web").holds, "holds");
  EXPECT_FALSE(section().request.has_value()) << "it has to hold for the handle time";
  clock.advance(seconds{30});
  pass();
  EXPECT_EQ(section().request->by, "t_web");
  apply(R"(,"failoverRules":{"period":"1s"})");
  set("tcp.web", "up");
  pass();
  set("tcp.web", "down");
  pass();
  EXPECT_EQ(section().verdicts.at("t_web").holds, "holds");
}

TEST_F(FailoverTest, AUsersRuleTakesThePlaceOfOneOfTheSameLabelOrOfAll) {
  apply(R"(,"failoverRules":{"rules":["t_web: if (tcp.web == down) then stop();"]})");
  set("tcp.web", "down");
  pass();
  EXPECT_EQ(section().request->action, "stop");
  apply(R"(,"failoverRules":{"extends":false,"rules":["mine: if (a.b == down) then stop();"]})");
  pass();
  EXPECT_FALSE(section().request.has_value());
  EXPECT_EQ(section().verdicts.size(), 1U);
}

TEST_F(FailoverTest, RulesInLuaCountAndDisable) {
  apply(R"json(,"failoverRules":{"rules":["--Lua Rules\nRules = Rules + { mine = if_then('a.b', 'down', Action.stop) }\nRules.disable('t_web')"]})json");
  set("tcp.web", "down");
  pass();
  EXPECT_FALSE(section().request.has_value());
  EXPECT_FALSE(section().verdicts.contains("t_web"));
  set("a.b", "down");
  pass();
  EXPECT_EQ(section().request->by, "mine");
}

TEST_F(FailoverTest, CheckerOffSwitchesOffWhatSpeaksOfCheckersAndTheGroupOfThatName) {
  apply(R"json(,"failoverRules":{"rules":["mine: if (custom.a == down) then stop(); both: if (custom.a == down && heartbeat.* == down) then stop();",)json"
        R"json("--Lua Rules\nRules = Rules + { mine2 = if_then('proc.p', 'down', Action.stop), _group='checker' }"]})json");
  store.update_status(kDb, [](status::Module& m) { m.settings.checker = false; });
  for (const char* down : {"tcp.web", "custom.a", "proc.p"}) set(down, "down");
  pass();
  EXPECT_FALSE(section().request.has_value());
  std::vector<std::string> off;
  for (const auto& [label, verdict] : section().verdicts) {
    if (verdict.holds == "is switched off") off.push_back(label);
  }
  EXPECT_THAT(off, ElementsAre("interface_failure", "ip_failure", "mine", "mine2", "module_failure", "t_web"));
  EXPECT_EQ(store.status(kDb).resources.at("rule.t_web").value, "off");
  EXPECT_EQ(store.status(kDb).resources.at("rule.both").value, "false");
  apply(R"(,"failoverRules":{"extends":false,"rules":["mine: if (custom.a == down) then stop();"]})");
  store.update_status(kDb, [](status::Module& m) { m.settings.checker = true; });
  pass();
  EXPECT_EQ(section().request->by, "mine");
  EXPECT_EQ(store.status(kDb).resources.at("rule.mine").value, "true");
  EXPECT_FALSE(store.status(kDb).resources.contains("rule.t_web")) << "there is no such rule any more";
}

TEST_F(FailoverTest, WhatNoRuleReadsIsNotJudgedAgainAndTimeIsKept) {
  apply("");
  set("tcp.web", "down");
  pass();
  const std::uint64_t first = section().request->id;
  store.update_status(kDb, [](status::Module& m) { m.replication.files_done = 7; });
  const auto outcome = controller.reconcile({"db"});
  ASSERT_TRUE(outcome.has_value());
  EXPECT_LE(outcome->requeue_after, kRepeat) << "the request is still repeated";
  EXPECT_EQ(section().request->id, first);
  clock.advance(kRepeat);
  pass();
  EXPECT_GT(section().request->id, first);
}

TEST_F(FailoverTest, SpeaksOfWhatTheCheckersHaveTakenUp) {
  apply("");
  store.update_status(kDb, [](status::Module& m) {
    m.checker = {.watched = {status::WatchClass::Pre}, .awaited = {"intf.10.0.0.0"}};
    m.resources["intf.10.0.0.0"] = {.value = "init"};
  });
  pass();
  EXPECT_THAT(section().watched, ElementsAre(status::WatchClass::Pre));
  EXPECT_TRUE(section().wait_rule_init);
  set("intf.10.0.0.0", "down");
  pass();
  EXPECT_THAT(section().wait_rules_true, ElementsAre("interface_failure"));
}

TEST_F(FailoverTest, TheOtherNodeIsUnknownWhileItIsNotHeard) {
  apply(R"(,"failoverRules":{"rules":["s: if (remote.tcp.web == up) then swap();"]})");
  store.update_status(kDb, [](status::Module& m) { m.peer.resources = {{"tcp.web", "up"}}; });
  pass();
  EXPECT_FALSE(section().request.has_value());
  store.update_status(kDb, [](status::Module& m) { m.peer.heard = true; });
  pass();
  EXPECT_EQ(section().request->by, "s");
}

TEST_F(FailoverTest, ATimeOfItsOwnIsWaitedFor) {
  apply(R"(,"failoverRules":{"handleTime":"20s"})");
  set("tcp.web", "down");
  pass();
  EXPECT_FALSE(section().request.has_value());
  clock.advance(seconds{20});
  pass();
  EXPECT_EQ(section().request->by, "t_web");
}

TEST_F(FailoverTest, NumbersOfRequestsGrowOverARestartAndEndWithTheModule) {
  apply("");
  set("tcp.web", "down");
  pass();
  const std::uint64_t first = section().request->id;
  FailoverController next{store, clock};
  ASSERT_TRUE(next.reconcile({"db"}).has_value());
  EXPECT_GT(section().request->id, first);
  ASSERT_TRUE(store.remove({store::Kind::Module, "db"}, {}).has_value());
  store.forget_status(kDb);
  pass();
  EXPECT_FALSE(store.fact("failover/db").has_value());
}

}  // namespace
}  // namespace safekit::failover
