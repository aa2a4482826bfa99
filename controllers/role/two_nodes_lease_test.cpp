// What two nodes do together when each may be cut off from the other and from the witness; the model is in two_nodes_world.h.
#include "controllers/role/two_nodes_world.h"

// A night's run compiles with more: -DSK_TWO_NODES_SEEDS=50000.
#ifndef SK_TWO_NODES_SEEDS
#define SK_TWO_NODES_SEEDS 300
#endif

namespace safekit::role {
namespace {

using two_nodes::World;
using Answer = status::LeaseSection::Answer;

void cut_all(World& world, bool cut) {
  world.cut_replication(cut);
  world.cut_heartbeats(cut);
}

/// One failure, command or recovery. Never a person's `prim`.
void inflict(World& world, std::mt19937_64& random) {
  const int node = static_cast<int>(random() % 2);
  const bool up = world.node(node).up;
  switch (random() % 14) {
    case 0:
    case 1: world.kill(node); break;
    case 2:
    case 3:
      if (!up) world.boot(node);
      world.command(node, "start");
      break;
    case 4: world.kill_replica(node); break;
    case 5: world.restart_daemon(node); break;
    case 6: world.cut_replication(random() % 2 == 0); break;
    case 7:
    case 8: cut_all(world, true); break;
    case 9: cut_all(world, false); break;
    case 10: world.cut_witness(node, true); break;
    case 11: world.cut_witness(node, false); break;
    case 12:
      if (up) world.command(node, random() % 2 == 0 ? "swap" : "stopstart");
      break;
    default:
      if (up) world.command(node, random() % 3 == 0 ? "forcestop" : "stop");
  }
}

/// Failures by the seed, then everything is there again. What was broken; empty: nothing.
std::string play(World& world, std::uint64_t seed) {
  world.with_witness();
  std::mt19937_64 random{seed};
  for (const int i : {0, 1}) world.command(i, "start");
  if (!world.run_until([&] { return world.is_pair() || !world.broken().empty(); })) return "no pair: " + world.text();
  const int faults = 3 + static_cast<int>(random() % 8);
  for (int fault = 0; fault < faults; ++fault) {
    inflict(world, random);
    world.run(static_cast<int>(random() % (random() % 4 == 0 ? 200 : 40)));
  }
  if (seed % 4 == 0) {
    for (const int i : {0, 1}) {
      if (world.node(i).up) world.command(i, "stop");
    }
    const auto stopped = [&](int i) { return !world.node(i).up || world.is(i, Role::Stop); };
    if (!world.run_until([&] { return stopped(0) && stopped(1); })) return "it does not stop: " + world.text();
  }
  cut_all(world, false);
  for (const int i : {0, 1}) {
    world.cut_witness(i, false);
    if (!world.node(i).up) world.boot(i);
  }
  const bool paired = world.run_until([&] {
    for (const int i : {0, 1}) {
      if (!world.node(i).memory.started && world.node(i).operations.empty()) world.command(i, "start");
    }
    return world.is_pair() || !world.broken().empty();
  });
  if (!world.broken().empty()) return world.broken();
  return paired || !world.has_good_copy() ? std::string{} : "both wait though a copy is good: " + world.text();
}

using Break = std::function<void(World&)>;

/// Of the first seed that finds a broken rule.
std::string first_found(const Break& rule, std::uint64_t seeds = 2000) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    World world{seed};
    rule(world);
    const std::string found = play(world, seed);
    if (found.empty()) continue;
    fmt::print("seed {}: {}\n", seed, found.substr(0, found.find('\n')));
    return found;
  }
  return {};
}

void for_orders(Plan& plan, const std::function<void(ReplicaOrder&)>& change) {
  change(plan.memory.section.replica);
  for (Step& step : plan.memory.steps) {
    if (auto* one = std::get_if<OrderReplica>(&step)) change(one->order);
  }
}

void say_granted(Observed& seen) {
  if (!seen.peer.silence_known) return;
  seen.lease.answer = Answer::Granted;
  seen.failover.wait_rules_true.clear();
}

}  // namespace

TEST(TwoNodesWitness, OneOfTwoThatAreCutOffGoesOn) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    World world{seed};
    world.with_witness();
    for (const int i : {0, 1}) world.command(i, "start");
    ASSERT_TRUE(world.run_until([&] { return world.is_pair(); })) << world.text();
    cut_all(world, true);
    ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Alone) || world.is(1, Role::Alone); })) << world.text();
    world.run(500);
    const int alone = world.primary();
    EXPECT_TRUE(world.is(alone, Role::Alone)) << world.text();
    EXPECT_EQ(world.node(1 - alone).memory.section.role, Role::Wait) << world.text();
    cut_all(world, false);
    ASSERT_TRUE(world.run_until([&] { return world.is_pair(); })) << world.text();
    EXPECT_EQ(world.primary(), alone);
    EXPECT_EQ(world.broken(), "");
  }
}

TEST(TwoNodesWitness, AfterAnyCutsAndFailuresThePairComesBackAndNothingIsLost) {
  for (std::uint64_t seed = 1; seed <= 3 * SK_TWO_NODES_SEEDS; ++seed) {
    World world{seed};
    const std::string found = play(world, seed);
    ASSERT_EQ(found, "") << "seed " << seed;
  }
}

TEST(TwoNodesWitness, FindsATakeOverWithoutTheLease) {
  const std::string found = first_found([](World& world) {
    world.see = say_granted;
    world.change = [](Plan& plan) { for_orders(plan, [](auto& order) { order.by_lease = false; }); };
  });
  EXPECT_NE(found.find("acknowledge"), std::string::npos) << found;
}

TEST(TwoNodesWitness, FindsAPrimaryThatGoesOnThoughItIsRefused) {
  const std::string found = first_found([](World& world) {
    world.see = [](Observed& seen) {
      if (seen.replication.order.role == ReplicaOrder::Role::Primary) say_granted(seen);
    };
    world.change = [](Plan& plan) { for_orders(plan, [](auto& order) { order.by_lease = false; }); };
  });
  EXPECT_NE(found.find("acknowledge"), std::string::npos) << found;
}

TEST(TwoNodesWitness, FindsALeaseThatIsGivenBackTooEarly) {
  const std::string found = first_found([](World& world) {
    world.change = [](Plan& plan) {
      if (plan.memory.stopping) plan.memory.section.lease = LeaseNeed::None;
    };
  });
  EXPECT_NE(found.find("given back"), std::string::npos) << found;
}

}  // namespace safekit::role
