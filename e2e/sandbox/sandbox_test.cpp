#include <gtest/gtest.h>

#include "e2e/sandbox/state.h"
#include "e2e/sandbox/topology.h"

namespace safekit::sandbox {
namespace {

TEST(SandboxTopology, GivesEveryNodeAnAddressOnEveryNetwork) {
  const auto topology =
      plan_topology({.node_count = 2, .networks = {"default", "replication"}, .first_subnet = 4});
  ASSERT_TRUE(topology);
  ASSERT_EQ(topology->members.size(), 3U);
  EXPECT_EQ(topology->members[1].addresses, (std::vector<std::string>{"10.99.4.2", "10.99.5.2"}));
  EXPECT_EQ(topology->members[2].name, kClientName);
  EXPECT_EQ(topology->members[2].addresses, (std::vector<std::string>{"10.99.4.254", ""}));
  EXPECT_EQ(virtual_address(*topology), "10.99.4.100");
}

TEST(SandboxTopology, RefusesWhatCannotBeBuilt) {
  EXPECT_FALSE(plan_topology({.node_count = 0}));
  EXPECT_FALSE(plan_topology({.node_count = kNodesMax + 1}));
  EXPECT_FALSE(plan_topology({.networks = {}}));
  EXPECT_FALSE(plan_topology({.networks = {"a", "a"}}));
  EXPECT_FALSE(plan_topology({.networks = {"a b"}}));
  EXPECT_FALSE(plan_topology({.networks = {"../x"}}));
  EXPECT_FALSE(plan_topology({.first_subnet = 255}));
}

TEST(SandboxTopology, FindsTheLowestRunOfFreeSubnets) {
  EXPECT_EQ(free_subnet({}, 2), 0U);
  EXPECT_EQ(free_subnet({0, 1, 3, 6}, 2), 4U);
  std::vector<std::uint32_t> all(kSubnetsMax);
  for (std::uint32_t k = 0; k < kSubnetsMax; ++k) all[k] = k;
  EXPECT_EQ(free_subnet(all, 1).error().code, Code::Exhausted);
}

TEST(SandboxTopology, InterfaceNamesFitTheKernel) {
  EXPECT_LE(port_name(kNodesMax, kNetworksMax).size(), 15U);
  EXPECT_LE(bridge_name(kNetworksMax).size(), 15U);
}

TEST(SandboxTopology, OfItsOwnClusterTextIsTheSame) {
  const auto topology = plan_topology({.node_count = 3, .networks = {"a", "b"}, .first_subnet = 9}).value();
  const auto again = topology_of_cluster(cluster_text(topology, "x"));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(*again, topology);
  EXPECT_EQ(subnet_of(topology.networks[1]), 10U);
}

TEST(SandboxTopology, RefusesAClusterThatASandboxCannotBe) {
  const std::string head =
      "apiVersion: safekit/v1\nkind: Cluster\nmetadata: {name: x}\nspec:\n  lans:\n    - name: a\n      "
      "nodes: ";
  EXPECT_TRUE(topology_of_cluster(head + "{n1: 10.0.0.1, n2: 10.0.0.2}\n"));
  EXPECT_FALSE(topology_of_cluster(head + "{n1: 10.0.0.1, n2: 10.0.1.2}\n"));
  EXPECT_FALSE(topology_of_cluster(head + "{n1: 10.0.0.1, client: 10.0.0.2}\n"));
  EXPECT_FALSE(topology_of_cluster(head + "{n1: 'fd00::1'}\n"));
  EXPECT_FALSE(topology_of_cluster("kind: Module\n"));
}

TEST(SandboxState, SurvivesItsFile) {
  State state{.name = "s", .private_paths = {"/srv"}, .daemon = {"/bin/safekitd", "--node"}};
  state.topology = plan_topology({.node_count = 2, .first_subnet = 7}).value();
  state.holders = {{.pid = 12, .start_ticks = 34}, {}, {}};
  state.switch_holder = {.pid = 5, .start_ticks = 6};
  state.cuts = {{.member = 1, .network = 0, .kind = CutKind::Silent}};
  const auto again = state_from_json(to_json(state));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, state);
}

TEST(SandboxState, SaysWhatIsWrongWithItsFile) {
  EXPECT_EQ(state_from_json("{").error().code, Code::Corrupt);
  EXPECT_EQ(state_from_json(R"({"format":9})").error().code, Code::Corrupt);
}

TEST(SandboxState, NamesWhatExistsWhenANameIsWrong) {
  State state{};
  state.topology = plan_topology({}).value();
  EXPECT_EQ(find_member(state, "node2"), 1U);
  EXPECT_NE(find_member(state, "nod2").error().what.find("node1, node2, client"), std::string::npos);
}

}  // namespace
}  // namespace safekit::sandbox
