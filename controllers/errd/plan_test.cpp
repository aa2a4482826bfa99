#include "controllers/errd/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::errd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr MonoTime kNow{100'000'000'000};

Target server(std::int32_t at_least = 1, std::int32_t at_most = -1) {
  return {.key = "server",
          .name = "server",
          .command = "server",
          .watch_class = "prim",
          .action = "restart",
          .at_least = at_least,
          .at_most = at_most};
}
Desired watched(Target target = server()) {
  return {.watched = {"prim"}, .is_started = true, .poll = seconds{30}, .targets = {std::move(target)}};
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
  const Preparation preparation = prepare(desired, memory, {.ended = ended}, now);
  return decide(desired,
                {.scanned = preparation.scan, .looked = preparation.look, .found = {{"server", {.count = count, .watch = {}}}}},
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
  EXPECT_FALSE(prepare(watched(), plan.memory, {}, kNow + milliseconds{900}).scan);
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
  EXPECT_TRUE(prepare(watched(), plan.memory, {}, kNow + kSettleStep).scan);
  const Plan late = pass(watched(), plan.memory, 0, kNow + kSettle);
  EXPECT_TRUE(late.memory.request.has_value());
  plan = pass(watched(), plan.memory, 1, kNow + kSettleStep);
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
}

TEST(ErrdPlan, LooksAtEachPollAndAtEachEndAndNotOtherwise) {
  const Plan plan = pass(watched(), {}, 1, kNow);
  EXPECT_EQ(plan.recheck_after, seconds{30});
  EXPECT_FALSE(prepare(watched(), plan.memory, {}, kNow + seconds{29}).scan);
  EXPECT_TRUE(prepare(watched(), plan.memory, {.ended = true}, kNow + seconds{1}).scan);
  EXPECT_TRUE(prepare(watched(), plan.memory, {}, kNow + seconds{30}).scan);
  Desired none = watched();
  none.targets.clear();
  EXPECT_FALSE(prepare(none, {}, {}, kNow).scan);
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

TEST(ErrdPlan, CountsWhatAnEventTellsWithoutReadingTheTable) {
  Plan plan = pass(watched(), {}, 1, kNow);
  const Preparation told = prepare(watched(), plan.memory, {.changed = true}, kNow + seconds{1});
  EXPECT_TRUE(told.look);
  EXPECT_FALSE(told.scan);
  plan = decide(watched(), {.looked = true, .found = {{"server", {}}}}, told.memory, kNow + seconds{1}, 1000);
  EXPECT_TRUE(plan.memory.request.has_value());
  EXPECT_EQ(plan.memory.scanned, kNow) << "the poll keeps its time";
}

TEST(ErrdPlan, LostEventsLeadToOneScan) {
  Plan plan = pass(watched(), {}, 1, kNow);
  Preparation lost = prepare(watched(), plan.memory, {.lost = true}, kNow + milliseconds{400});
  EXPECT_FALSE(lost.scan) << "so soon after the last one";
  plan = decide(watched(), {}, lost.memory, kNow + milliseconds{400}, 1000);
  EXPECT_EQ(plan.recheck_after, milliseconds{600});
  lost = prepare(watched(), plan.memory, {}, kNow + kLostGap);
  EXPECT_TRUE(lost.scan);
  plan = pass(watched(), plan.memory, 1, kNow + kLostGap);
  EXPECT_FALSE(prepare(watched(), plan.memory, {}, kNow + 3 * kLostGap).scan);
}

TEST(ErrdPlan, AServiceIsJudgedByItsUnit) {
  Target target = server();
  target.unit = "server.service";
  target.restart_services = {"a", "b"};
  Preparation preparation = prepare(watched(target), {}, {}, kNow);
  EXPECT_TRUE(preparation.look);
  EXPECT_FALSE(preparation.scan) << "the table has no services";
  Plan plan = decide(watched(target), {.looked = true}, preparation.memory, kNow, 1000);
  EXPECT_EQ(plan.resources.at("proc.server"), "init") << "systemd has not answered";
  EXPECT_EQ(plan.recheck_after, std::nullopt);
  plan = decide(watched(target), {.looked = true, .found = {{"server", {.count = 1, .watch = {}}}}}, plan.memory, kNow, 1000);
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
  plan = pass(watched(target), plan.memory, 0, kNow + seconds{1}, true);
  EXPECT_THAT(plan.lines.at(0).text, "Service server not running");
  EXPECT_THAT(plan.memory.request->services, ElementsAre("a", "b"));
}

Target handled() {
  Target target = server();
  target.watch_class = "mine";
  target.action.clear();
  target.handler = "mend";
  return target;
}
Desired mine() {
  Desired desired = watched(handled());
  desired.watched = {"prim", "mine"};
  return desired;
}

TEST(ErrdPlan, AHandlerMendsInThePlaceOfAnAction) {
  Plan plan = pass(mine(), {}, 1, kNow);
  plan = pass(mine(), plan.memory, 0, kNow + seconds{1}, true);
  EXPECT_EQ(plan.lines.back(), (Line{'C', "Action mend called by errd"}));
  EXPECT_EQ(plan.handlers.at("proc.server"), (status::CheckerProgram{.exec = "mend", .once = 1}));
  EXPECT_EQ(plan.memory.request, std::nullopt);
  // It may disable its class while it works.
  Desired disabled = mine();
  disabled.watched = {"prim"};
  plan = pass(disabled, plan.memory, 0, kNow + seconds{2});
  EXPECT_EQ(plan.handlers.size(), 1U);
  plan = pass(mine(), plan.memory, 1, kNow + seconds{3});
  const Preparation ended = prepare(mine(), plan.memory, {.ended = true}, kNow + seconds{3});
  plan = decide(mine(), {.scanned = true, .looked = true, .found = {{"server", {.count = 1}}}, .runs = {{"proc.server", {1, true}}}},
                ended.memory, kNow + seconds{3}, 1000);
  EXPECT_THAT(plan.handlers, IsEmpty());
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
  plan = pass(mine(), plan.memory, 0, kNow + seconds{4}, true);
  EXPECT_EQ(plan.handlers.at("proc.server").once, 2U) << "the next time there is another run";
  disabled.is_started = false;
  disabled.watched.clear();
  EXPECT_THAT(pass(disabled, plan.memory, 0, kNow + seconds{5}).handlers, IsEmpty()) << "the module has stopped";
}

TEST(ErrdPlan, AHandlerThatDoesNotHelpIsCalledAtTheNextPollAndOneThatFailsIsFollowedByAStopstart) {
  Plan plan = pass(mine(), {}, 1, kNow);
  plan = pass(mine(), plan.memory, 0, kNow + seconds{1}, true);
  const auto end = [&](bool fine, MonoTime now) {
    const Preparation ended = prepare(mine(), plan.memory, {.ended = true}, now);
    plan = decide(mine(), {.scanned = true, .looked = true, .found = {{"server", {}}}, .runs = {{"proc.server", {plan.memory.handler_runs, fine}}}},
                  ended.memory, now, 1000);
  };
  end(true, kNow + seconds{2});
  EXPECT_THAT(plan.handlers, IsEmpty());
  EXPECT_EQ(plan.recheck_after, kSettleStep) << "what it started may come yet";
  plan = pass(mine(), plan.memory, 0, kNow + seconds{4});
  EXPECT_THAT(plan.handlers, IsEmpty());
  EXPECT_EQ(plan.recheck_after, seconds{28});
  plan = pass(mine(), plan.memory, 0, kNow + seconds{32});
  EXPECT_EQ(plan.handlers.at("proc.server").once, 2U);
  end(false, kNow + seconds{33});
  EXPECT_EQ(plan.lines.at(0), (Line{'E', "The handler mend of server failed"}));
  EXPECT_EQ(plan.memory.request->action, "stopstart");
}

TEST(ErrdPlan, OfTwoWithOneNameTheWorstShows) {
  spec::Module module;
  module.errd = spec::Errd{};
  module.errd->processes = {{.name = "server", .watch_class = "prim", .action = "noaction"},
                            {.name = "server", .arg_regex = "two", .watch_class = "prim", .action = "noaction"}};
  Desired desired = watched();
  desired.targets = targets_of(module).list;
  const Preparation first = prepare(desired, {}, {}, kNow);
  Observed seen{.scanned = true, .looked = true, .found = {{"server", {.count = 1}}, {"server#2", {.count = 1}}}};
  Plan plan = decide(desired, seen, first.memory, kNow, 1000);
  EXPECT_EQ(plan.resources.at("proc.server"), "up");
  seen.found["server"].count = 0;
  plan = decide(desired, seen, plan.memory, kNow + seconds{5}, 1000);
  EXPECT_EQ(plan.resources.at("proc.server"), "down");
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
  ASSERT_EQ(targets.list.size(), 4U);
  EXPECT_TRUE(matches(targets.list[0], process(1, 0, "a-very-long-com")));
  EXPECT_TRUE(matches(targets.list[1], process(1, 0, "pgsql", "pgsql -D /data")));
  EXPECT_FALSE(matches(targets.list[1], process(1, 0, "pgsql", "pgsql -D /other")));
  EXPECT_FALSE(matches(targets.list[1], process(1, 0, "pgsql2", "-D /data")));
  EXPECT_EQ(targets.list[2].watch_class, "mine");
  EXPECT_EQ(targets.list[3].unit, "unit.service");
  EXPECT_FALSE(matches(targets.list[3], process(1, 0, "unit"))) << "its unit is watched";
  EXPECT_THAT(targets.problem, HasSubstr("'('"));
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
