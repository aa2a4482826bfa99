#include <map>

#include <fmt/format.h>

#include "schema/check/judge.h"

namespace safekit::check {
namespace {

using spec::Cluster;
using spec::Lan;
using spec::NodeAddress;

void judge_nodes(const Judge& judge, const Lan& lan, const std::string& path) {
  std::set<std::string> names;
  std::set<std::string> addresses;
  for (std::size_t i = 0; i < lan.nodes.size(); ++i) {
    const NodeAddress& node = lan.nodes[i];
    const std::string at = fmt::format("{}.nodes[{}]", path, i);
    if (!is_plain_name(node.name.str())) {
      judge.error(at + ".name", "bad-name", fmt::format("'{}' is no node name", node.name.str()),
                  "use up to 63 letters, digits, '_', '.', '-'");
    }
    if (!names.insert(node.name.str()).second) {
      judge.error(at + ".name", "node-twice",
                  fmt::format("node {} is given twice on network {}", node.name.str(), lan.name.str()));
    }
    if (!addresses.insert(node.address).second) {
      judge.error(at + ".address", "address-twice",
                  fmt::format("address {} is given twice on network {}", node.address, lan.name.str()),
                  "each node needs its own");
    }
    if (!node.address.empty() && !family_of(node.address)) {
      judge.warning(at + ".address", "address-name",
                    fmt::format("address {} is a name: it is looked up when the configuration is applied",
                                node.address),
                    "an IP address depends on no name service");
    }
    if (!node.local_address.empty() && !family_of(node.local_address)) {
      judge.error(at + ".localAddress", "local-address",
                  fmt::format("laddr '{}' is no IP address", node.local_address),
                  "give the address that the node's interface has");
    }
  }
}

void judge_command_lan(const Judge& judge, const Cluster& cluster, std::size_t node_count) {
  const Lan* command = nullptr;
  for (std::size_t i = 0; i < cluster.lans.size(); ++i) {
    const Lan& lan = cluster.lans[i];
    if (!lan.command) continue;
    const std::string at = fmt::format("spec.lans[{}].command", i);
    if (command != nullptr) {
      judge.error(at, "command-lan", "more than one network has command=\"on\"", "keep it on one");
    }
    command = &lan;
    if (lan.nodes.size() < node_count) {
      judge.error(at, "command-lan",
                  fmt::format("the command network {} does not list every node", lan.name.str()),
                  "add the missing nodes or take a network that has all");
    }
  }
  if (command == nullptr && !cluster.lans.empty() && cluster.lans.front().nodes.size() < node_count) {
    judge.error("spec.lans[0]", "command-lan",
                fmt::format("the first network {} carries the commands, but does not list every node",
                            cluster.lans.front().name.str()),
                "put command=\"on\" on a network that lists all");
  }
}

}  // namespace

void validate(const Cluster& cluster, const codec::Positions& positions, doc::Problems& problems) {
  const Judge judge{positions, problems};
  if (cluster.lans.empty()) judge.error("spec.lans", "no-lan", "at least one <lan> required");
  const std::size_t node_count = nodes_of(cluster).size();
  if (!cluster.lans.empty() && node_count < 2) {
    judge.error("spec.lans", "few-nodes", "a cluster needs at least two nodes");
  }
  std::set<std::string> names;
  bool complete = false;
  for (std::size_t i = 0; i < cluster.lans.size(); ++i) {
    const Lan& lan = cluster.lans[i];
    const std::string at = fmt::format("spec.lans[{}]", i);
    if (!is_plain_name(lan.name.str())) {
      judge.error(at + ".name", "bad-name", fmt::format("'{}' is no network name", lan.name.str()),
                  "use up to 63 letters, digits, '_', '.', '-'");
    }
    if (!names.insert(lan.name.str()).second) {
      judge.error(at + ".name", "lan-twice", fmt::format("network {} is defined twice", lan.name.str()));
    }
    judge_nodes(judge, lan, at);
    complete |= lan.nodes.size() >= node_count;
  }
  if (!cluster.lans.empty() && !complete) {
    judge.error("spec.lans", "no-complete-lan", "no network lists every node", "one of them must");
  }
  judge_command_lan(judge, cluster, node_count);
  if (cluster.port == 0) judge.error("spec.port", "invalid-value", "port 0 cannot be used");
  if (cluster.pulse <= Duration{}) judge.error("spec.pulse", "invalid-value", "pulse must not be zero");
}

}  // namespace safekit::check
