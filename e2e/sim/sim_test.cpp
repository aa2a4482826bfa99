#include <gtest/gtest.h>

#include "e2e/sim/cluster.h"

namespace safekit::sim {

TEST(Simulation, ASeedReplaysBitForBit) {
  std::set<std::uint64_t> digests;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const RunPlan plan = plan_of(seed, Defect::None);
    const Outcome first = run(plan, false);
    const Outcome again = run(plan, true);
    EXPECT_EQ(first.digest, again.digest);
    EXPECT_EQ(first.events, again.events);
    EXPECT_EQ(first.broken, "") << "seed " << seed;
    digests.insert(first.digest);
  }
  EXPECT_EQ(digests.size(), 6U) << "different seeds are different runs";
}

TEST(Simulation, WithoutFaultsThePairTakesWrites) {
  const Outcome outcome = run({.seed = 1}, false);
  EXPECT_EQ(outcome.broken, "");
  EXPECT_GT(outcome.acknowledged, 500U);
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
