#include "e2e/sandbox/topology.h"

#include <cctype>
#include <charconv>

namespace safekit::sandbox {

namespace {

constexpr std::size_t kNameBytesMax = 32;
constexpr int kClientHost = 254;
constexpr int kVirtualHost = 100;

bool is_name_byte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

}  // namespace

Status check_name(std::string_view what, std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax ||
      std::isalnum(static_cast<unsigned char>(name.front())) == 0 ||
      !std::all_of(name.begin(), name.end(), is_name_byte))
    return Error{Code::Invalid,
                 fmt::format("{} '{}' is not a name: use 1 to {} letters, digits, '-', '_' or '.', "
                             "beginning with a letter or a digit",
                             what, name, kNameBytesMax)};
  return {};
}

std::optional<std::uint32_t> subnet_of(const Network& network) {
  constexpr std::string_view kStart = "10.99.";
  std::uint32_t k = 0;
  const char* end = network.prefix.data() + network.prefix.size();
  if (network.prefix.compare(0, kStart.size(), kStart) != 0) return std::nullopt;
  const auto [rest, failure] = std::from_chars(network.prefix.data() + kStart.size(), end, k);
  return failure == std::errc{} && rest == end ? std::optional(k) : std::nullopt;
}

Result<Topology> plan_topology(const Request& request) {
  if (request.node_count < 1 || request.node_count > kNodesMax)
    return Error{Code::Invalid,
                 fmt::format("'{}' nodes: a sandbox has 1 to {}", request.node_count, kNodesMax)};
  if (request.networks.empty() || request.networks.size() > kNetworksMax)
    return Error{Code::Invalid,
                 fmt::format("'{}' networks: a sandbox has 1 to {}", request.networks.size(), kNetworksMax)};
  if (request.first_subnet + request.networks.size() > kSubnetsMax)
    return Error{Code::Invalid, fmt::format("subnet '10.99.{}.0' leaves no room for the other networks",
                                            request.first_subnet)};
  Topology topology{};
  for (const std::string& name : request.networks) {
    SK_TRY_VOID(check_name("network", name));
    for (const Network& other : topology.networks)
      if (other.name == name) return Error{Code::Invalid, fmt::format("network '{}' is named twice", name)};
    topology.networks.push_back(
        {name, fmt::format("10.99.{}", request.first_subnet + topology.networks.size())});
  }
  for (std::size_t i = 1; i <= request.node_count; ++i) {
    Member node{.name = fmt::format("node{}", i)};
    for (const Network& network : topology.networks)
      node.addresses.push_back(fmt::format("{}.{}", network.prefix, i));
    topology.members.push_back(std::move(node));
  }
  topology.members.push_back(client_of(topology));
  return topology;
}

Result<std::uint32_t> free_subnet(const std::vector<std::uint32_t>& used, std::size_t count) {
  std::array<bool, kSubnetsMax> taken{};
  for (const std::uint32_t k : used)
    if (k < kSubnetsMax) taken[k] = true;
  std::size_t run = 0;
  for (std::uint32_t k = 0; k < kSubnetsMax; ++k) {
    run = taken[k] ? 0 : run + 1;
    if (run == count) return static_cast<std::uint32_t>(k + 1 - count);
  }
  return Error{Code::Exhausted,
               "all subnets of 10.99.0.0/16 are used by other sandboxes: take one down first"};
}

Member client_of(const Topology& topology) {
  Member client{.name = std::string(kClientName)};
  client.addresses.resize(topology.networks.size());
  client.addresses.front() = fmt::format("{}.{}", topology.networks.front().prefix, kClientHost);
  return client;
}

std::string virtual_address(const Topology& topology) {
  return fmt::format("{}.{}", topology.networks.front().prefix, kVirtualHost);
}

std::string port_name(std::size_t member, std::size_t network) {
  return fmt::format("port{}e{}", member, network);
}
std::string bridge_name(std::size_t network) {
  return fmt::format("br{}", network);
}
std::string interface_name(std::size_t network) {
  return fmt::format("eth{}", network);
}

std::string hosts_text(const Topology& topology) {
  std::string text = "127.0.0.1 localhost\n::1 localhost\n";
  for (const Member& member : topology.members)
    for (std::size_t i = 0; i < member.addresses.size(); ++i) {
      if (member.addresses[i].empty()) continue;
      text += i == 0 ? fmt::format("{} {}\n", member.addresses[i], member.name)
                     : fmt::format("{} {}-{}\n", member.addresses[i], member.name, topology.networks[i].name);
    }
  return text;
}

std::string cluster_text(const Topology& topology, std::string_view cluster_name) {
  std::string text = fmt::format(
      "apiVersion: safekit/v1\nkind: Cluster\nmetadata:\n  name: {}\nspec:\n  lans:\n", cluster_name);
  for (std::size_t i = 0; i < topology.networks.size(); ++i) {
    text += fmt::format("    - name: {}\n      nodes:\n", topology.networks[i].name);
    for (const Member& member : topology.members)
      if (member.name != kClientName && !member.addresses[i].empty())
        text += fmt::format("        {}: {}\n", member.name, member.addresses[i]);
  }
  return text;
}

}  // namespace safekit::sandbox
