#include "e2e/sandbox/topology.h"

#include <arpa/inet.h>

#include "schema/codec/decode.h"
#include "schema/doc/yaml.h"

namespace safekit::sandbox {

namespace {

Result<spec::Cluster> read_cluster(std::string_view text) {
  doc::Problems problems("the cluster file");
  std::optional<spec::Cluster> cluster{};
  for (const doc::Node& document : doc::parse_yaml(text, problems)) {
    const auto decoded = codec::decode(document, problems);
    if (decoded && std::holds_alternative<spec::Cluster>(decoded->object))
      cluster = std::get<spec::Cluster>(decoded->object);
  }
  std::string wrong{};
  for (const doc::Problem& problem : problems.list())
    if (problem.severity == doc::Severity::Error) wrong += "\n  " + to_string(problem);
  if (!wrong.empty()) return Error{Code::Invalid, "not a cluster that can be read:" + wrong};
  if (!cluster) return Error{Code::Invalid, "the cluster file has no object of kind Cluster"};
  return *cluster;
}

/// "10.1.2.3" to "10.1.2"; empty: not IPv4.
std::string prefix_of(const std::string& address) {
  in_addr parsed{};
  return ::inet_pton(AF_INET, address.c_str(), &parsed) == 1 ? address.substr(0, address.rfind('.')) : "";
}

Member& member_named(Topology& topology, const std::string& name, std::size_t network_count) {
  for (Member& member : topology.members)
    if (member.name == name) return member;
  topology.members.push_back({.name = name, .addresses = std::vector<std::string>(network_count)});
  return topology.members.back();
}

Status add_lan(Topology& topology, const spec::Lan& lan, std::size_t network_count) {
  SK_TRY_VOID(check_name("lan", lan.name.str()));
  const std::size_t index = topology.networks.size();
  topology.networks.push_back({.name = lan.name.str()});
  std::string& prefix = topology.networks.back().prefix;
  for (const spec::NodeAddress& node : lan.nodes) {
    SK_TRY_VOID(check_name("node", node.name.str()));
    if (node.name.str() == kClientName)
      return Error{Code::Invalid,
                   "a node cannot be called 'client' in a sandbox: that is the name of its pseudo node"};
    const std::string own = prefix_of(node.address);
    if (prefix.empty()) prefix = own;
    if (own.empty() || own != prefix)
      return Error{Code::Invalid,
                   fmt::format("address '{}' of node '{}' on lan '{}': a sandbox wants IPv4 addresses, all "
                               "of a lan in one /24",
                               node.address, node.name.str(), lan.name.str())};
    member_named(topology, node.name.str(), network_count).addresses[index] = node.address;
  }
  return {};
}

}  // namespace

Result<Topology> topology_of_cluster(std::string_view text) {
  SK_TRY(const spec::Cluster cluster, read_cluster(text));
  if (cluster.lans.empty() || cluster.lans.size() > kNetworksMax)
    return Error{Code::Invalid,
                 fmt::format("'{}' lans: a sandbox has 1 to {}", cluster.lans.size(), kNetworksMax)};
  Topology topology{};
  for (const spec::Lan& lan : cluster.lans) SK_TRY_VOID(add_lan(topology, lan, cluster.lans.size()));
  if (topology.members.empty() || topology.members.size() > kNodesMax)
    return Error{Code::Invalid,
                 fmt::format("'{}' nodes: a sandbox has 1 to {}", topology.members.size(), kNodesMax)};
  topology.members.push_back(client_of(topology));
  return topology;
}

}  // namespace safekit::sandbox
