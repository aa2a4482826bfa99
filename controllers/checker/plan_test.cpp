#include "controllers/checker/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::checker {
namespace {

using status::WatchClass;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr MonoTime kNow{100'000'000'000};

Check web(const std::string& action = "restart", WatchClass watch_class = WatchClass::Prim) {
  return {.kind = Kind::Tcp,
          .ident = "web",
          .address = "127.0.0.1",
          .port = 80,
          .watch_class = watch_class,
          .label = "t_web",
          .action = action};
}
Check vip() {
  return {.kind = Kind::Ip,
          .ident = "10.0.0.9",
          .address = "10.0.0.9",
          .watch_class = WatchClass::Prim,
          .label = "ip_failure",
          .action = "stopstart"};
}
Desired watched(std::vector<Check> checks) {
  return {.watched = {WatchClass::Pre, WatchClass::Prim}, .checks = std::move(checks)};
}
Observed answer(const Plan& plan, bool fine) {
  return {.answers = {{"tcp.web", {plan.memory.states.at("tcp.web").asked, fine}}}, .local_addresses = {}};
}
Observed address(bool set) {
  Observed observed;
  observed.addresses_known = true;
  if (set) observed.local_addresses.insert("10.0.0.9");
  return observed;
}

TEST(CheckerPlan, AsksAtOnceAndThenAtEachInterval) {
  Plan plan = decide(watched({web()}), {}, {}, kNow, 1);
  EXPECT_THAT(plan.asks, ElementsAre(Ask{1, web()}));
  EXPECT_EQ(plan.resources.at("tcp.web"), "init");
  EXPECT_THAT(decide(watched({web()}), {}, plan.memory, kNow, 1).asks, IsEmpty());
  plan = decide(watched({web()}), answer(plan, true), plan.memory, kNow, 1);
  EXPECT_EQ(plan.resources.at("tcp.web"), "up");
  EXPECT_EQ(plan.recheck_after, seconds{10});
  plan = decide(watched({web()}), {}, plan.memory, kNow + seconds{10}, 1);
  EXPECT_THAT(plan.asks, SizeIs(1));
}

TEST(CheckerPlan, RequestsTheActionOfItsRuleWhenDown) {
  Plan plan = decide(watched({web()}), {}, {}, kNow, 1);
  plan = decide(watched({web()}), answer(plan, true), plan.memory, kNow, 1);
  plan = decide(watched({web()}), {}, plan.memory, kNow + seconds{10}, 1);
  plan = decide(watched({web()}), answer(plan, false), plan.memory, kNow + seconds{10}, 50);
  EXPECT_EQ(plan.resources.at("tcp.web"), "down");
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "tcpcheck", "Resource tcp.web set to down by tcpcheck"}));
  EXPECT_EQ(plan.memory.request,
            (status::ActionRequest{.id = 50, .action = "restart", .by = "t_web", .from_rule = true}));
  EXPECT_EQ(decide(watched({web()}), {}, plan.memory, kNow + seconds{11}, 1).memory.request->id, 51U);
  Desired none = watched({web()});
  none.watched.clear();
  plan = decide(none, {}, plan.memory, kNow + seconds{10}, 1);
  EXPECT_EQ(plan.resources.at("tcp.web"), "init");
  EXPECT_EQ(plan.memory.request, std::nullopt);
  EXPECT_EQ(plan.recheck_after, std::nullopt);
}

TEST(CheckerPlan, GivesAStartingApplicationOneInterval) {
  Plan plan = decide(watched({web()}), {}, {}, kNow, 1);
  plan = decide(watched({web()}), answer(plan, false), plan.memory, kNow, 1);
  EXPECT_EQ(plan.resources.at("tcp.web"), "init");
  EXPECT_EQ(plan.recheck_after, kStartingStep);
  plan = decide(watched({web()}), {}, plan.memory, kNow + seconds{10}, 1);
  plan = decide(watched({web()}), answer(plan, false), plan.memory, kNow + seconds{10}, 1);
  EXPECT_EQ(plan.resources.at("tcp.web"), "down");
}

TEST(CheckerPlan, HoldsTheModuleByWaitRules) {
  const Check pre = web("wait", WatchClass::Pre);
  Plan plan = decide(watched({pre}), {}, {}, kNow, 1);
  EXPECT_TRUE(plan.wait_rule_init);
  plan = decide(watched({pre}), answer(plan, false), plan.memory, kNow,
                1);  // something external: judged at once
  EXPECT_FALSE(plan.wait_rule_init);
  EXPECT_THAT(plan.wait_rules_true, ElementsAre("t_web"));
  EXPECT_EQ(plan.memory.request, std::nullopt);
  Desired off = watched({pre});
  off.watched.clear();
  plan = decide(off, {}, plan.memory, kNow, 1);
  EXPECT_FALSE(plan.wait_rule_init);
  EXPECT_THAT(plan.wait_rules_true, IsEmpty());
}

TEST(CheckerPlan, SeesAnAddressGoAtOnce) {
  Plan plan = decide(watched({vip()}), address(true), {}, kNow, 1);
  EXPECT_EQ(plan.resources.at("ip.10.0.0.9"), "up");
  plan = decide(watched({vip()}), address(false), plan.memory, kNow + seconds{1}, 1);
  EXPECT_EQ(plan.resources.at("ip.10.0.0.9"), "down");
  EXPECT_EQ(plan.memory.request->action, "stopstart");
  EXPECT_EQ(plan.memory.request->by, "ip_failure");
}

TEST(CheckerPlan, ActsByTheMostSevereRule) {
  Memory memory;
  memory.states = {{"tcp.web", {.value = Value::Down, .due = kNow + seconds{9}}},
                   {"ip.10.0.0.9", {.value = Value::Down, .due = kNow + seconds{9}}}};
  EXPECT_EQ(decide(watched({web(), vip()}), address(false), memory, kNow, 1).memory.request->by,
            "ip_failure");
  EXPECT_EQ(decide(watched({web("stop"), vip()}), address(false), memory, kNow, 1).memory.request->by,
            "t_web");
}

TEST(CheckerPlan, IgnoresTheAnswerOfAnOlderProbe) {
  Plan plan = decide(watched({web()}), {}, {}, kNow, 1);
  Observed old = answer(plan, false);
  old.answers["tcp.web"].first = 99;
  plan = decide(watched({web()}), old, plan.memory, kNow, 1);
  EXPECT_NE(plan.memory.states.at("tcp.web").asked, 0U);
}

TEST(CheckerChecks, ComeFromTheModule) {
  spec::Module module;
  module.checkers.tcp = {{.ident = "web", .address = "localhost", .port = 80},
                         {.ident = "ext", .when = spec::When::Pre, .address = "10.0.0.5", .port = 81}};
  module.vip = spec::Vip{};
  spec::VipInterface interface;
  interface.addresses = {{.address = "10.0.0.9"}};
  module.vip->interfaces = {interface};
  const auto checks = checks_of(module);
  ASSERT_EQ(checks.size(), 3U);
  EXPECT_EQ(checks[0].action, "restart");
  EXPECT_EQ(checks[0].watch_class, WatchClass::Prim);
  EXPECT_EQ(checks[1].action, "wait");
  EXPECT_EQ(checks[1].watch_class, WatchClass::Pre);
  EXPECT_EQ(checks[2].label, "ip_failure");
  EXPECT_EQ(resource_of(checks[2]), "ip.10.0.0.9");
}

}  // namespace
}  // namespace safekit::checker
