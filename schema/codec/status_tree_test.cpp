#include "schema/codec/status_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/doc/yaml.h"

namespace safekit::codec {
namespace {

TEST(StatusTree, ShowsThisNodeThenItsPeer) {
  status::Module module{.name = ModuleName{"db"}};
  module.role = {.role = status::Role::Prim,
                 .readiness = status::Readiness::Ready,
                 .since = WallTime{1'700'000'000'000'000'000}};
  module.replication = {
      .configured = true, .alive = true, .up_to_date = true, .connected = true, .generation = 0xABCDEF};
  module.resources["rfs.uptodate"] = {
      .value = "up", .assigned = WallTime{1'700'000'000'000'000'000}, .source = "rfs"};
  module.peer = {.name = NodeName{"node2"},
                 .heard = true,
                 .heartbeats = {{"default", true}},
                 .module_known = true,
                 .role = status::Role::Second,
                 .readiness = status::Readiness::Ready,
                 .replicates = true};
  module.conditions = {{.type = "Ready", .is_true = true, .reason = "Stable"}};
  module.observed_generation = 3;
  EXPECT_EQ(doc::print_yaml(status_tree(module, NodeName{"node1"})),
            R"(observedGeneration: 3
nodes:
  - name: node1
    local: true
    role: PRIM
    readiness: Ready
    since: 2023-11-14T22:13:20.000000Z
    upToDate: true
    replication:
      wanted: None
      running: true
      connected: true
      peerSynchronised: false
      filesTotal: 0
      filesDone: 0
      bytesCopied: 0
      dataGeneration: "0000000000abcdef"
    loopCount: 0
    settings:
      errd: true
      checker: true
      failover: true
    resources:
      rfs.uptodate:
        value: up
        since: 2023-11-14T22:13:20.000000Z
        source: rfs
  - name: node2
    local: false
    heard: true
    role: SECOND
    readiness: Ready
    upToDate: false
    heartbeats:
      default: up
conditions:
  - type: Ready
    status: "True"
    reason: Stable
)");
}

TEST(StatusTree, APeerThatIsNotHeardIsUnknown) {
  status::Module module;
  module.peer = {.name = NodeName{"node2"}, .role = status::Role::Prim};
  const doc::Node tree = status_tree(module, NodeName{"node1"});
  EXPECT_EQ(tree.find("nodes")->children.at(1).find("role")->text, "UNKNOWN");
}

TEST(StatusTree, AnEventComesBackAsItWas) {
  const status::Event event{.time = WallTime{1'700'000'000'123'456'000},
                            .node = NodeName{"node1"},
                            .module = ModuleName{"db"},
                            .component = "heart",
                            .level = 'E',
                            .text = "Local state PRIM Ready"};
  const auto again = event_from(to_tree(event));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(*again, event);
  EXPECT_FALSE(event_from(doc::Node::map()).has_value());
}

}  // namespace
}  // namespace safekit::codec
