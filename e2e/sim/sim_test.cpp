#include <gtest/gtest.h>

#include <set>

#include "e2e/sim/cluster.h"

namespace safekit::sim {

TEST(Simulation, ASeedReplaysBitForBit) {
  std::set<std::uint64_t> digests;
  std::size_t shapes = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const RunPlan plan = plan_of(seed, Defect::None);
    shapes += plan.modules.size() > 1 ? 1 : 0;
    const Outcome first = run(plan, false);
    const Outcome again = run(plan, true);
    EXPECT_EQ(first.digest, again.digest);
    EXPECT_EQ(first.events, again.events);
    EXPECT_EQ(first.broken, "") << "seed " << seed;
    digests.insert(first.digest);
  }
  EXPECT_EQ(digests.size(), 12U) << "different seeds are different runs";
  EXPECT_GT(shapes, 0U);
}

TEST(Simulation, WithoutFaultsThePairTakesWrites) {
  std::uint64_t acknowledged = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Outcome outcome = run({.seed = seed}, false);
    EXPECT_EQ(outcome.broken, "");
    acknowledged += outcome.acknowledged;
  }
  EXPECT_GT(acknowledged, 5 * 100U);
}

TEST(Simulation, FiveNodesWithASpareServeFourModules) {
  const Outcome outcome = run({.seed = 2, .nodes = 5, .modules = {{0, 4}, {1, 4}, {2, 4}, {3, 4}}}, false);
  EXPECT_EQ(outcome.broken, "");
  EXPECT_GT(outcome.acknowledged, 400U);
}

TEST(Simulation, AnAppliedRevisionReachesTheOtherNode) {
  using Kind = Fault::Kind;
  const std::vector<Fault> cut_and_two{{.kind = Kind::CutAll, .at = 1000, .length = 3000},
                                       {.kind = Kind::Apply, .node = 0, .at = 2000},
                                       {.kind = Kind::Apply, .node = 1, .at = 2500}};
  EXPECT_EQ(run({.seed = 1, .faults = {{.kind = Kind::Apply, .at = 100}}}, false).broken, "");
  EXPECT_EQ(run({.seed = 1, .faults = cut_and_two}, false).broken, "") << "a conflict both nodes tell of";
}

TEST(Simulation, EveryShapeIsPlayed) {
  std::set<std::pair<std::uint32_t, std::size_t>> shapes;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const RunPlan plan = plan_of(seed, Defect::None);
    shapes.emplace(plan.nodes, plan.modules.size());
    for (const Pair& pair : plan.modules) {
      EXPECT_NE(pair[0], pair[1]);
      EXPECT_LT(std::max(pair[0], pair[1]), plan.nodes);
    }
  }
  for (const auto& shape : {std::pair{2U, 1UL}, {2U, 2UL}, {3U, 2UL}, {4U, 3UL}, {5U, 4UL}}) EXPECT_TRUE(shapes.contains(shape));
}

TEST(Simulation, OneModuleLessIsAPlanOfItsOwn) {
  const RunPlan plan{.seed = 1,
                     .nodes = 3,
                     .modules = {{0, 2}, {0, 1}},
                     .faults = {{.kind = Fault::Kind::Stop, .which = 0}, {.kind = Fault::Kind::Swap, .which = 1}}};
  const RunPlan without_first = smaller(plan).front();
  EXPECT_EQ(without_first.modules, (std::vector<Pair>{{0, 1}}));
  ASSERT_EQ(without_first.faults.size(), 1U);
  EXPECT_EQ(without_first.faults[0].kind, Fault::Kind::Swap);
  EXPECT_EQ(without_first.faults[0].which, 0U);
  EXPECT_EQ(smaller(without_first).front().nodes, 2U) << "the spare is not needed any more";
}

TEST(Simulation, AFailingPlanIsMadeSmaller) {
  std::optional<RunPlan> failing;
  for (std::uint64_t seed = 1; seed <= 200 && !failing; ++seed) {
    const RunPlan plan = plan_of(seed, Defect::DropsAcknowledgement);
    if (plan.faults.size() > 2 && !run(plan, false).broken.empty()) failing = plan;
  }
  ASSERT_TRUE(failing.has_value());
  const RunPlan less = minimised(*failing);
  EXPECT_LT(less.faults.size(), failing->faults.size());
  EXPECT_NE(run(less, false).broken, "");
}

}  // namespace safekit::sim
