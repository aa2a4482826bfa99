#include "controllers/failover/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/rule/parse.h"

namespace safekit::failover {
namespace {

using rule::Truth;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr MonoTime kNow{100'000'000'000};

struct Bench {
  explicit Bench(const std::string& text) : desired{.rules = rule::parse(text).rules} {}
  Plan pass(Duration later = {}, std::uint64_t floor = 1) {
    now = now + later;
    const Plan plan = decide(desired, observed, memory, now, floor);
    memory = plan.memory;
    return plan;
  }
  Desired desired{};
  Observed observed{};
  Memory memory{};
  MonoTime now{kNow};
};

TEST(FailoverPlan, AsksForTheActionOfARuleThatHoldsAndAgainWhileItDoes) {
  Bench bench{"t_web: if (tcp.web == down) then restart();"};
  bench.observed.local["tcp.web"] = "up";
  EXPECT_EQ(bench.pass().memory.request, std::nullopt);
  bench.observed.local["tcp.web"] = "down";
  EXPECT_EQ(bench.pass(seconds{1}, 50).memory.request,
            (status::ActionRequest{.id = 50, .action = "restart", .by = "t_web", .from_rule = true}));
  EXPECT_EQ(bench.pass(milliseconds{500}).memory.request->id, 50U);
  const Plan again = bench.pass(milliseconds{500});
  EXPECT_EQ(again.memory.request->id, 51U);
  EXPECT_EQ(again.recheck_after, kRepeat);
  bench.observed.local["tcp.web"] = "init";
  EXPECT_EQ(bench.pass().memory.request, std::nullopt);
}

TEST(FailoverPlan, TheMostSevereRuleActs) {
  Bench bench{
      "a: if (x.a == down) then swap(); b: if (x.b == down) then restart(); c: if (x.c == down) then "
      "stopstart();"
      "d: if (x.d == down) then stop(); e: if (x.d == down) then stop();"};
  for (const auto& [resource, label] : std::vector<std::pair<std::string, std::string>>{
           {"x.a", "a"}, {"x.b", "b"}, {"x.c", "c"}, {"x.d", "d"}}) {
    bench.observed.local[resource] = "down";
    EXPECT_EQ(bench.pass().memory.request->by, label) << "a worse one at once, of two equal ones the first";
  }
}

TEST(FailoverPlan, WaitRulesAreToldByTheirLabels) {
  Bench bench{"w: if (ping.r == down) then wait();"};
  bench.observed.local["ping.r"] = "init";
  EXPECT_FALSE(bench.pass().wait_rule_init) << "nobody looks at it: nobody may wait for it";
  bench.observed.awaited = {"ping.r"};
  EXPECT_TRUE(bench.pass().wait_rule_init);
  bench.observed.local["ping.r"] = "down";
  bench.observed.awaited = {};
  const Plan down = bench.pass();
  EXPECT_THAT(down.wait_rules_true, ElementsAre("w"));
  EXPECT_FALSE(down.wait_rule_init);
  EXPECT_EQ(down.memory.request, std::nullopt);
  bench.observed.local["ping.r"] = "up";
  EXPECT_THAT(bench.pass().wait_rules_true, IsEmpty());
}

TEST(FailoverPlan, ARuleCountsAfterItsTimeOnly) {
  Bench bench{"t: if (tcp.w == down) then stop(); w: if (tcp.w == down) then wait();"};
  bench.desired.hold = seconds{30};
  bench.observed.local["tcp.w"] = "down";
  const Plan begun = bench.pass();
  EXPECT_EQ(begun.memory.request, std::nullopt);
  EXPECT_THAT(begun.wait_rules_true, IsEmpty());
  EXPECT_TRUE(begun.wait_rule_init) << "no start before it is known";
  EXPECT_EQ(begun.recheck_after, seconds{30});
  bench.observed.local["tcp.w"] = "up";
  (void)bench.pass(seconds{20});
  bench.observed.local["tcp.w"] = "down";
  EXPECT_EQ(bench.pass(seconds{5}).memory.request, std::nullopt) << "its time begins anew";
  const Plan held = bench.pass(seconds{30});
  EXPECT_EQ(held.memory.request->by, "t");
  EXPECT_THAT(held.wait_rules_true, ElementsAre("w"));
}

TEST(FailoverPlan, SeesTheOtherNode) {
  Bench bench{"s: if (remote.tcp.w == up && tcp.w == down) then swap();"};
  bench.observed.local["tcp.w"] = "down";
  EXPECT_EQ(bench.pass().memory.request, std::nullopt) << "not heard";
  bench.observed.remote["tcp.w"] = "up";
  EXPECT_EQ(bench.pass().memory.request->action, "swap");
}

TEST(FailoverPlan, SaysWhy) {
  Bench bench{"allip: if (ip.* == down) then stopstart();"};
  bench.observed.local = {{"ip.10.0.0.1", "down"}, {"ip.10.0.0.2", "up"}, {"ipx.a", "down"}};
  const Plan first = bench.pass();
  EXPECT_EQ(first.verdicts.at("allip"), (status::RuleVerdict{.condition = "ip.* == down",
                                                             .action = "stopstart",
                                                             .holds = "does not hold",
                                                             .because = {"ip.10.0.0.2 is up"}}));
  EXPECT_THAT(first.begun, ElementsAre("allip"));
  EXPECT_THAT(bench.pass().begun, IsEmpty());
  bench.observed.local["ip.10.0.0.2"] = "down";
  const Plan second = bench.pass();
  EXPECT_THAT(second.begun, ElementsAre("allip"));
  EXPECT_THAT(second.verdicts.at("allip").because, ElementsAre("ip.10.0.0.1 is down", "ip.10.0.0.2 is down"));
}

TEST(FailoverPlan, RulesOfCheckersEndWithTheirSwitchAndSaySo) {
  Bench bench{"w: if (ping.r == down) then wait(); t_web: if (tcp.web == down) then restart(); p: if (proc.p == down) then stop();"};
  for (rule::Rule& rule : bench.desired.rules) rule.of_checkers = rule.label != "p";
  bench.observed.local = {{"ping.r", "down"}, {"tcp.web", "down"}, {"proc.p", "up"}};
  EXPECT_EQ(bench.pass().shown, (std::map<std::string, std::string>{{"rule.w", "true"}, {"rule.t_web", "true"}, {"rule.p", "false"}}));
  bench.observed.checkers = false;
  const Plan off = bench.pass();
  EXPECT_THAT(off.wait_rules_true, IsEmpty());
  EXPECT_EQ(off.memory.request, std::nullopt);
  EXPECT_EQ(off.shown, (std::map<std::string, std::string>{{"rule.w", "off"}, {"rule.t_web", "off"}, {"rule.p", "false"}}));
  EXPECT_EQ(off.verdicts.at("w").holds, "is switched off");
  EXPECT_EQ(off.begun.size(), 2U);
  EXPECT_THAT(bench.pass().begun, IsEmpty()) << "it is off since then";
  bench.observed.checkers = true;
  EXPECT_THAT(bench.pass().wait_rules_true, ElementsAre("w"));
}

}  // namespace
}  // namespace safekit::failover
