#include "schema/spec/defaults.h"

#include <gtest/gtest.h>

namespace safekit::spec {
namespace {

TEST(Defaults, PortsDeriveFromTheId) {
  Module module;
  EXPECT_EQ(heart_port(module), 8888) << "no id counts as the first";
  module.id = 3;
  EXPECT_EQ(heart_port(module), 8890);
  EXPECT_EQ(replication_port(module), 5608);
  EXPECT_EQ(farm_port(module), 4809);
  module.heart.emplace().port = 7000;
  module.farm.emplace().port = 7001;
  EXPECT_EQ(heart_port(module), 7000);
  EXPECT_EQ(farm_port(module), 7001);
}

TEST(Defaults, XmlKeepsSafekitsValues) {
  EXPECT_EQ(default_heart(Dialect::Ours).timeout, seconds{1});
  EXPECT_EQ(default_heart(Dialect::SafekitXml).timeout, seconds{30});
  EXPECT_EQ(default_heart(Dialect::SafekitXml).pulse, milliseconds{700});
  EXPECT_EQ(default_replication(Dialect::Ours).secondary_ack, SecondaryAck::Durable);
  EXPECT_EQ(default_replication(Dialect::SafekitXml).secondary_ack, SecondaryAck::Received);
}

TEST(Defaults, ReplicationGoesOverTheNamedLanElseFlowElseTheFirst) {
  Module module;
  EXPECT_EQ(flow_lan(module), LanName{});
  module.heart.emplace().lans = {{.lan = LanName{"a"}}, {.lan = LanName{"b"}}};
  EXPECT_EQ(flow_lan(module), LanName{"a"});
  module.heart->lans[1].ident = "flow";
  EXPECT_EQ(flow_lan(module), LanName{"b"});
  module.replication.emplace().lan = LanName{"c"};
  EXPECT_EQ(flow_lan(module), LanName{"c"});
}

TEST(Defaults, ZonesFollowTheResyncPacket) {
  Replication replication;
  EXPECT_EQ(zone_size_of(replication), 8u * 1024 * 1024);
  replication.resync_packet_size = 65536;
  EXPECT_EQ(zone_size_of(replication), 65536u);
  replication.zone_size = 131072;
  EXPECT_EQ(zone_size_of(replication), 131072u);
}

TEST(Defaults, ModeDecidesWhereAndWhen) {
  for (const Mode mode : {Mode::Mirror, Mode::Farm, Mode::Light}) {
    const Module module{.mode = mode};
    EXPECT_EQ(where_of(module, {}), mode == Mode::Farm ? Where::Alias : Where::OneSideAlias);
    EXPECT_EQ(default_when(module), mode == Mode::Mirror ? When::Prim : When::Both);
    EXPECT_EQ(class_of(module, {}), mode == Mode::Mirror ? "prim" : "both");
  }
}

TEST(Defaults, AnIpCheckerByHandReplacesTheGeneratedOne) {
  Module module;
  module.vip.emplace().interfaces.push_back(
      {.addresses = {
           {.address = "10.0.0.1"}, {.address = "10.0.0.2", .check = false}, {.address = "10.0.0.3"}}});
  module.checkers.ip.push_back({.ident = "10.0.0.3", .address = "10.0.0.3", .interval = seconds{1}});
  const auto made = generated_ip_checkers(module);
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].ident, "10.0.0.1");
}

TEST(Defaults, ClusterLookUps) {
  Cluster cluster;
  EXPECT_EQ(command_lan(cluster), nullptr);
  cluster.lans = {{.name = LanName{"a"}, .nodes = {{.name = NodeName{"x"}}, {.name = NodeName{"y"}}}},
                  {.name = LanName{"b"}, .nodes = {{.name = NodeName{"y"}}, {.name = NodeName{"z"}}}}};
  EXPECT_EQ(command_lan(cluster)->name.str(), "a");
  cluster.lans[1].command = true;
  EXPECT_EQ(command_lan(cluster)->name.str(), "b");
  EXPECT_EQ(nodes_of(cluster), (std::vector<NodeName>{NodeName{"x"}, NodeName{"y"}, NodeName{"z"}}));
  EXPECT_EQ(find_node(*find_lan(cluster, LanName{"b"}), NodeName{"x"}), nullptr);
}

}  // namespace
}  // namespace safekit::spec
