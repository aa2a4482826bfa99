#include "controllers/errd/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::errd {
namespace {

using status::WatchClass;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr MonoTime kNow{100'000'000'000};

Target server(std::int32_t at_least = 1, std::int32_t at_most = -1) {
  return {.name = "server",
          .command = "server",
          .watch_class = WatchClass::Prim,
          .action = "restart",
          .at_least = at_least,
          .at_most = at_most};
}
Desired watched(Target target = server()) {
  return {.watched = {WatchClass::Prim}, .poll = seconds{30}, .targets = {std::move(target)}};
}
ProcessInfo process(std::int32_t pid, std::int32_t parent, const std::string& command,
                    const std::string& arguments = "") {
  return {.identity = {.pid = pid, .start_ticks = 1},
          .parent = parent,
          .command = command,
          .arguments = arguments};
}
/// A whole pass in which the table shows `count` servers.
Plan pass(const Desired& desired, const Memory& memory, int count, MonoTime now, bool ended = false) {
  const Preparation preparation = prepare(desired, memory, ended, now);
  return decide(desired, {{"server", Found{.count = count, .watch = {}}}}, preparation.scan,
                preparation.memory, now, 1000);
}

TEST(ErrdPlan, RequestsTheActionWhenAProcessEnds) {
  Plan plan = pass(watched(), {}, 1, kNow);
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
  EXPECT_THAT(plan.lines, IsEmpty());
  plan = pass(watched(), plan.memory, 0, kNow + seconds{5}, true);
  EXPECT_EQ(plan.resources.at("proc.server"), "down");
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "Process server not running"},
                                      Line{'E', "Resource proc.server set to down by errd"}));
  ASSERT_TRUE(plan.memory.request.has_value());
  EXPECT_EQ(*plan.memory.request, (status::ActionRequest{.id = 1000, .action = "restart", .by = "errd"}));
}

TEST(ErrdPlan, AsksAgainWhileNothingIsDoneAboutIt) {
  Plan plan = pass(watched(), {}, 1, kNow);
  plan = pass(watched(), plan.memory, 0, kNow, true);
  EXPECT_EQ(plan.recheck_after, kRepeat);
  EXPECT_FALSE(prepare(watched(), plan.memory, false, kNow + milliseconds{900}).scan);
  plan = pass(watched(), plan.memory, 0, kNow + kRepeat);
  EXPECT_THAT(plan.lines, IsEmpty());
  EXPECT_EQ(plan.memory.request->id, 1001U);
  plan = pass(watched(), plan.memory, 1, kNow + 2 * kRepeat);
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
}

TEST(ErrdPlan, ForgetsItsRequestWhenTheClassIsDisabled) {
  Plan plan = pass(watched(), {}, 1, kNow);
  plan = pass(watched(), plan.memory, 0, kNow + seconds{5}, true);
  Desired none = watched();
  none.watched.clear();
  plan = pass(none, plan.memory, 0, kNow + seconds{6});
  EXPECT_EQ(plan.memory.request, std::nullopt);
  EXPECT_EQ(plan.resources.at("proc.server"), "init");
  EXPECT_EQ(plan.recheck_after, std::nullopt);
  plan = pass(watched(), plan.memory, 1, kNow + seconds{7});
  plan = pass(watched(), plan.memory, 0, kNow + seconds{8}, true);
  EXPECT_EQ(plan.memory.request->id, 1001U);
}

TEST(ErrdPlan, GivesAFreshStartAMomentToShow) {
  Plan plan = pass(watched(), {}, 0, kNow);
  EXPECT_EQ(plan.memory.request, std::nullopt);
  EXPECT_EQ(plan.recheck_after, kSettleStep);
  EXPECT_TRUE(prepare(watched(), plan.memory, false, kNow + kSettleStep).scan);
  const Plan late = pass(watched(), plan.memory, 0, kNow + kSettle);
  EXPECT_TRUE(late.memory.request.has_value());
  plan = pass(watched(), plan.memory, 1, kNow + kSettleStep);
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
}

TEST(ErrdPlan, LooksAtEachPollAndAtEachEndAndNotOtherwise) {
  const Plan plan = pass(watched(), {}, 1, kNow);
  EXPECT_EQ(plan.recheck_after, seconds{30});
  EXPECT_FALSE(prepare(watched(), plan.memory, false, kNow + seconds{29}).scan);
  EXPECT_TRUE(prepare(watched(), plan.memory, true, kNow + seconds{1}).scan);
  EXPECT_TRUE(prepare(watched(), plan.memory, false, kNow + seconds{30}).scan);
  Desired none = watched();
  none.targets.clear();
  EXPECT_FALSE(prepare(none, {}, false, kNow).scan);
}

TEST(ErrdPlan, WaitsForStartAfter) {
  Target target = server();
  target.start_after = 3;
  Plan plan = pass(watched(target), {}, 0, kNow);
  EXPECT_EQ(plan.resources.at("proc.server"), "init");
  EXPECT_EQ(plan.recheck_after, seconds{30});  // a poll, and later the first look
  plan = pass(watched(target), plan.memory, 0, kNow + seconds{59});
  EXPECT_EQ(plan.memory.request, std::nullopt);
  plan = pass(watched(target), plan.memory, 0, kNow + seconds{61});
  EXPECT_TRUE(plan.memory.request.has_value());
}

TEST(ErrdPlan, MindsAnUpperLimitAndNoaction) {
  Plan plan = pass(watched(server(0, 0)), {}, 1, kNow + seconds{2});
  plan = pass(watched(server(0, 0)), plan.memory, 1, kNow + seconds{4});
  EXPECT_THAT(plan.lines.at(0).text, HasSubstr("running too often (1, at most 0)"));
  Target target = server();
  target.action = "noaction";
  plan = pass(watched(target), {}, 1, kNow);
  plan = pass(watched(target), plan.memory, 0, kNow, true);
  EXPECT_THAT(plan.lines, SizeIs(2));
  EXPECT_EQ(plan.memory.request, std::nullopt);
}

TEST(ErrdMatch, TakesNameAndPatterns) {
  EXPECT_TRUE(matches(server(), process(1, 0, "server")));
  EXPECT_FALSE(matches(server(), process(1, 0, "server2")));
  spec::Module module;
  module.errd = spec::Errd{};
  module.errd->processes = {
      {.name = "a-very-long-command-name", .watch_class = "prim"},
      {.name = "label", .name_regex = "^pg(sql|bouncer)$", .arg_regex = "-D +/data", .watch_class = "both"},
      {.name = "own", .watch_class = "mine"},
      {.name = "unit", .service = true, .watch_class = "prim"},
      {.name = "broken", .name_regex = "(", .watch_class = "prim"}};
  const Targets targets = targets_of(module);
  ASSERT_EQ(targets.list.size(), 2U);
  EXPECT_TRUE(matches(targets.list[0], process(1, 0, "a-very-long-com")));
  EXPECT_TRUE(matches(targets.list[1], process(1, 0, "pgsql", "pgsql -D /data")));
  EXPECT_FALSE(matches(targets.list[1], process(1, 0, "pgsql", "pgsql -D /other")));
  EXPECT_FALSE(matches(targets.list[1], process(1, 0, "pgsql2", "-D /data")));
  EXPECT_THAT(targets.problem, HasSubstr("'unit'"));
}

TEST(ErrdFind, WatchesTheServerAndNotItsWorkers) {
  const std::vector<ProcessInfo> table{process(10, 1, "server"), process(11, 10, "server"),
                                       process(12, 10, "server"), process(20, 1, "other")};
  EXPECT_EQ(find(server(1), table), (Found{.count = 3, .watch = {{10, 1}}}));
  EXPECT_THAT(find(server(2), table).watch, SizeIs(3));
  EXPECT_THAT(find(server(0, 5), table).watch, IsEmpty());
}

}  // namespace
}  // namespace safekit::errd
