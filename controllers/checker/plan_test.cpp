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

Check web(WatchClass watch_class = WatchClass::Prim) {
  return {.kind = Kind::Tcp,
          .ident = "web",
          .address = "127.0.0.1",
          .port = 80,
          .watch_class = watch_class};
}
Check vip() {
  return {.kind = Kind::Ip,
          .ident = "10.0.0.9",
          .address = "10.0.0.9",
          .watch_class = WatchClass::Prim};
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
  Plan plan = decide(watched({web()}), {}, {}, kNow);
  EXPECT_THAT(plan.asks, ElementsAre(Ask{1, web()}));
  EXPECT_EQ(plan.resources.at("tcp.web"), "init");
  EXPECT_THAT(decide(watched({web()}), {}, plan.memory, kNow).asks, IsEmpty());
  plan = decide(watched({web()}), answer(plan, true), plan.memory, kNow);
  EXPECT_EQ(plan.resources.at("tcp.web"), "up");
  EXPECT_EQ(plan.recheck_after, seconds{10});
  plan = decide(watched({web()}), {}, plan.memory, kNow + seconds{10});
  EXPECT_THAT(plan.asks, SizeIs(1));
}

TEST(CheckerPlan, TellsWhatIsDownAndNothingOfWhatIsNotWatched) {
  Plan plan = decide(watched({web()}), {}, {}, kNow);
  EXPECT_THAT(plan.awaited, ElementsAre("tcp.web"));
  plan = decide(watched({web()}), answer(plan, true), plan.memory, kNow);
  EXPECT_THAT(plan.awaited, IsEmpty());
  plan = decide(watched({web()}), {}, plan.memory, kNow + seconds{10});
  plan = decide(watched({web()}), answer(plan, false), plan.memory, kNow + seconds{10});
  EXPECT_EQ(plan.resources.at("tcp.web"), "down");
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "tcpcheck", "Resource tcp.web set to down by tcpcheck"}));
  Desired none = watched({web()});
  none.watched.clear();
  plan = decide(none, {}, plan.memory, kNow + seconds{10});
  EXPECT_EQ(plan.resources.at("tcp.web"), "init");
  EXPECT_THAT(plan.awaited, IsEmpty()) << "nobody looks: nobody may wait for it";
  EXPECT_EQ(plan.recheck_after, std::nullopt);
}

TEST(CheckerPlan, GivesAStartingApplicationOneInterval) {
  Plan plan = decide(watched({web()}), {}, {}, kNow);
  plan = decide(watched({web()}), answer(plan, false), plan.memory, kNow);
  EXPECT_EQ(plan.resources.at("tcp.web"), "init");
  EXPECT_EQ(plan.recheck_after, kStartingStep);
  plan = decide(watched({web()}), {}, plan.memory, kNow + seconds{10});
  plan = decide(watched({web()}), answer(plan, false), plan.memory, kNow + seconds{10});
  EXPECT_EQ(plan.resources.at("tcp.web"), "down");
}

TEST(CheckerPlan, WhatIsOutsideIsJudgedAtOnce) {
  const Check pre = web(WatchClass::Pre);
  Plan plan = decide(watched({pre}), {}, {}, kNow);
  plan = decide(watched({pre}), answer(plan, false), plan.memory, kNow);
  EXPECT_EQ(plan.resources.at("tcp.web"), "down");
}

TEST(CheckerPlan, SeesAnAddressGoAtOnce) {
  Plan plan = decide(watched({vip()}), address(true), {}, kNow);
  EXPECT_EQ(plan.resources.at("ip.10.0.0.9"), "up");
  plan = decide(watched({vip()}), address(false), plan.memory, kNow + seconds{1});
  EXPECT_EQ(plan.resources.at("ip.10.0.0.9"), "down");
}

TEST(CheckerPlan, IgnoresTheAnswerOfAnOlderProbe) {
  Plan plan = decide(watched({web()}), {}, {}, kNow);
  Observed old = answer(plan, false);
  old.answers["tcp.web"].first = 99;
  plan = decide(watched({web()}), old, plan.memory, kNow);
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
  EXPECT_EQ(checks[0].watch_class, WatchClass::Prim);
  EXPECT_EQ(checks[1].watch_class, WatchClass::Pre);
  EXPECT_EQ(resource_of(checks[2]), "ip.10.0.0.9");
}

}  // namespace
}  // namespace safekit::checker
