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
Desired watched(const std::vector<Check>& checks) {
  Desired desired{.watched = {WatchClass::Pre, WatchClass::Prim}};
  for (const Check& check : checks) desired.checks.emplace(resource_of(check), check);
  return desired;
}

/// Passes one after the other, and the values that they have told.
struct Bench {
  explicit Bench(const std::vector<Check>& checks) : desired(watched(checks)) {}
  Plan pass(const Observed& observed = {}) {
    Plan plan = decide(desired, observed, memory, now);
    memory = plan.memory;
    if (plan.is_all) values = plan.changed;
    for (const auto& [resource, value] : plan.changed) values[resource] = value;
    return plan;
  }
  Plan answer(const std::string& resource, std::optional<bool> fine) {
    return pass({.answers = {{resource, {memory.states.at(resource).asked, fine}}}});
  }
  Desired desired;
  Memory memory{};
  MonoTime now{kNow};
  std::map<std::string, std::string> values{};
};

TEST(CheckerPlan, AsksAtOnceAndThenAtEachInterval) {
  Bench bench{{web()}};
  EXPECT_THAT(bench.pass().asks, ElementsAre(Ask{1, web()}));
  EXPECT_EQ(bench.values.at("tcp.web"), "init");
  EXPECT_THAT(bench.pass().asks, IsEmpty());
  EXPECT_EQ(bench.answer("tcp.web", true).recheck_after, seconds{10});
  EXPECT_EQ(bench.values.at("tcp.web"), "up");
  bench.now = bench.now + seconds{10};
  EXPECT_THAT(bench.pass().asks, SizeIs(1));
  const Plan same = bench.answer("tcp.web", true);
  EXPECT_THAT(same.changed, IsEmpty()) << "nothing new, nothing to tell";
  EXPECT_FALSE(same.is_all || same.awaited_changed);
}

TEST(CheckerPlan, WithoutALookThereIsNoVerdict) {
  Bench bench{{web()}};
  bench.pass();
  const Plan plan = bench.answer("tcp.web", std::nullopt);
  EXPECT_EQ(bench.values.at("tcp.web"), "init");
  EXPECT_THAT(bench.memory.awaited, ElementsAre("tcp.web"));
  EXPECT_EQ(plan.recheck_after, kStartingStep) << "it is looked again soon";
  bench.now = bench.now + kStartingStep;
  EXPECT_THAT(bench.pass().asks, SizeIs(1));
  bench.answer("tcp.web", true);
  bench.now = bench.now + seconds{10};
  bench.pass();
  bench.answer("tcp.web", std::nullopt);
  EXPECT_EQ(bench.values.at("tcp.web"), "up");
}

TEST(CheckerPlan, TellsWhatIsDownAndNothingOfWhatIsNotWatched) {
  Bench bench{{web()}};
  bench.pass();
  EXPECT_THAT(bench.memory.awaited, ElementsAre("tcp.web"));
  EXPECT_TRUE(bench.answer("tcp.web", true).awaited_changed);
  EXPECT_THAT(bench.memory.awaited, IsEmpty());
  bench.now = bench.now + seconds{10};
  bench.pass();
  EXPECT_THAT(bench.answer("tcp.web", false).lines,
              ElementsAre(Line{'E', "tcpcheck", "Resource tcp.web set to down by tcpcheck"}));
  EXPECT_EQ(bench.values.at("tcp.web"), "down");
  bench.desired.watched.clear();
  EXPECT_EQ(bench.pass().recheck_after, std::nullopt);
  EXPECT_EQ(bench.values.at("tcp.web"), "init");
  EXPECT_THAT(bench.memory.awaited, IsEmpty()) << "nobody looks: nobody may wait for it";
}

TEST(CheckerPlan, GivesAStartingApplicationOneInterval) {
  Bench bench{{web()}};
  bench.pass();
  EXPECT_EQ(bench.answer("tcp.web", false).recheck_after, kStartingStep);
  EXPECT_EQ(bench.values.at("tcp.web"), "init");
  bench.now = bench.now + seconds{10};
  bench.pass();
  bench.answer("tcp.web", false);
  EXPECT_EQ(bench.values.at("tcp.web"), "down");
}

TEST(CheckerPlan, WhatIsOutsideIsJudgedAtOnce) {
  Bench bench{{web(WatchClass::Pre)}};
  bench.pass();
  bench.answer("tcp.web", false);
  EXPECT_EQ(bench.values.at("tcp.web"), "down");
}

TEST(CheckerPlan, LooksAgainWhenAnInterfaceChanges) {
  Bench bench{{web(), vip()}};
  EXPECT_THAT(bench.pass().asks, SizeIs(2));
  bench.answer("tcp.web", true);
  bench.answer("ip.10.0.0.9", true);
  EXPECT_EQ(bench.values.at("ip.10.0.0.9"), "up");
  bench.now = bench.now + seconds{1};
  const Plan changed = bench.pass({.interfaces_changed = true});
  ASSERT_THAT(changed.asks, SizeIs(1)) << "what is asked of others keeps its time";
  EXPECT_EQ(changed.asks[0].check, vip());
  bench.answer("ip.10.0.0.9", false);
  EXPECT_EQ(bench.values.at("ip.10.0.0.9"), "down");
  EXPECT_THAT(bench.memory.queue, SizeIs(2));
}

TEST(CheckerPlan, IgnoresTheAnswerOfAnOlderProbe) {
  Bench bench{{web()}};
  bench.pass();
  bench.pass({.answers = {{"tcp.web", {99, false}}, {"tcp.gone", {1, true}}}});
  EXPECT_NE(bench.memory.states.at("tcp.web").asked, 0U);
}

TEST(CheckerPlan, AsksSoManyAtATime) {
  std::vector<Check> many;
  for (std::size_t i = 0; i < kAsksMax + 3; ++i) {
    many.push_back(web());
    many.back().ident += std::to_string(i);
  }
  Bench bench{many};
  const Plan first = bench.pass();
  EXPECT_THAT(first.asks, SizeIs(kAsksMax));
  EXPECT_EQ(first.recheck_after, kAskGap);
  const Plan rest = bench.pass();
  EXPECT_THAT(rest.asks, SizeIs(3));
  EXPECT_EQ(rest.recheck_after, std::nullopt) << "an answer or its time-out wakes it";
}

TEST(CheckerPlan, OtherChecksLeaveTheRestAsItIs) {
  Bench bench{{web()}};
  bench.pass();
  bench.answer("tcp.web", true);
  bench.now = bench.now + seconds{4};
  bench.desired = watched({web(), vip()});
  bench.desired.version = 2;
  const Plan more = bench.pass();
  EXPECT_TRUE(more.is_all);
  EXPECT_THAT(more.asks, SizeIs(1));
  EXPECT_EQ(more.recheck_after, seconds{6});
  EXPECT_EQ(bench.values.at("tcp.web"), "up");
  bench.desired = watched({vip()});
  bench.desired.version = 3;
  bench.pass();
  EXPECT_FALSE(bench.values.contains("tcp.web"));
  EXPECT_FALSE(bench.memory.states.contains("tcp.web"));
}

Check disk(std::optional<Duration> interval = {}) {
  return {.kind = Kind::Custom,
          .ident = "disk",
          .watch_class = WatchClass::Pre,
          .program = {.exec = "bin/disk.sh", .interval = interval}};
}

TEST(CheckerPlan, AProgramSetsItsResourceItself) {
  Bench bench{{disk()}};
  bench.pass();
  EXPECT_EQ(bench.values.at("custom.disk"), "init");
  EXPECT_THAT(bench.memory.awaited, ElementsAre("custom.disk"));
  EXPECT_EQ(bench.memory.programs.at("custom.disk"), disk().program);
  Plan plan = bench.pass({.set = {{"custom.disk", "up"}}});
  EXPECT_TRUE(plan.awaited_changed);
  EXPECT_THAT(plan.changed, IsEmpty());
  bench.desired.version = 2;
  EXPECT_FALSE(bench.pass({.set = {{"custom.disk", "up"}}}).changed.contains("custom.disk")) << "another apply leaves what it set";
  bench.desired.watched.clear();
  bench.pass({.set = {{"custom.disk", "up"}}});
  EXPECT_EQ(bench.values.at("custom.disk"), "init");
  EXPECT_THAT(bench.memory.programs, IsEmpty());
}

TEST(CheckerPlan, AProgramWithAnIntervalIsJudgedByItsEnd) {
  Bench bench{{disk(seconds{10})}};
  bench.pass({.runs = {{"custom.disk", {.count = 4, .fine = true}}}});
  EXPECT_EQ(bench.values.at("custom.disk"), "init") << "a run from before says nothing";
  const Plan plan = bench.pass({.runs = {{"custom.disk", {.count = 1, .fine = false}}}});
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "disk.sh", "Resource custom.disk set to down by disk.sh"}));
  EXPECT_EQ(bench.values.at("custom.disk"), "down");
  bench.pass({.runs = {{"custom.disk", {.count = 2, .fine = true}}}, });
  EXPECT_EQ(bench.values.at("custom.disk"), "up");
}

TEST(CheckerChecks, ALinkIsFineWithItsCarrier) {
  spec::Module module;
  module.vip = spec::Vip{};
  module.vip->interfaces.resize(1);
  module.vip->interfaces[0].addresses = {{.address = "10.0.0.9"}, {.address = "10.0.0.10"}, {.address = "fd00::9"}};
  Interface eth{.index = 2, .name = "eth0", .up = true, .carrier = true};
  eth.addresses = {{parse_ip("10.0.0.9").value(), 24}, {parse_ip("10.0.0.1").value(), 24}, {parse_ip("fd00::1").value(), 64}};
  const Checks checks = link_checks(module, {eth});
  ASSERT_EQ(checks.size(), 2U) << "one for each network";
  const Check& link = checks.at("intf.10.0.0.0");
  EXPECT_EQ(link.address, "10.0.0.1");
  EXPECT_EQ(link.watch_class, WatchClass::Pre);
  EXPECT_TRUE(checks.contains("intf.fd00::"));
  EXPECT_TRUE(is_fine(link, {eth}));
  Interface cut = eth;
  cut.carrier = false;
  EXPECT_FALSE(is_fine(link, {cut}));
  EXPECT_TRUE(is_fine({.kind = Kind::Ip, .address = "10.0.0.9"}, {cut})) << "the address is there";
  EXPECT_FALSE(is_fine(link, {}));
  module.vip->interfaces[0].check = false;
  EXPECT_THAT(link_checks(module, {eth}), IsEmpty());
}

TEST(CheckerChecks, AProgramIsCalledWithItsModuleResourceAndWords) {
  spec::Module module;
  module.metadata.name = "db";
  module.checkers.custom = {{.ident = "disk", .when = spec::When::Pre, .exec = "disk.sh", .arg = " /srv  3 "}};
  EXPECT_THAT(checks_of(module).at("custom.disk").program.arguments, ElementsAre("db", "custom.disk", "/srv", "3"));
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
  EXPECT_EQ(checks.at("tcp.web").watch_class, WatchClass::Prim);
  EXPECT_EQ(checks.at("tcp.ext").watch_class, WatchClass::Pre);
  EXPECT_EQ(checks.at("ip.10.0.0.9").address, "10.0.0.9");
}

}  // namespace
}  // namespace safekit::checker
