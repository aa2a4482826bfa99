#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/result.h"

namespace safekit::sandbox {

/// The pseudo node from which users reach the virtual addresses. It runs no daemon.
inline constexpr std::string_view kClientName = "client";
inline constexpr std::size_t kNodesMax = 64;
inline constexpr std::size_t kNetworksMax = 8;
inline constexpr std::uint32_t kSubnetsMax = 256;  ///< 10.99.0.0/24 to 10.99.255.0/24

/// One bridge. Interface `eth<i>` of a node is on network i. A value.
struct Network {
  std::string name{};
  std::string prefix{};  ///< first three bytes of the /24, "10.99.0"
  friend bool operator==(const Network&, const Network&) = default;
};

struct Member {
  std::string name{};
  std::vector<std::string> addresses{};  ///< address i is on network i; empty: not on that network
  friend bool operator==(const Member&, const Member&) = default;
};

/// What a sandbox is made of: nothing here is about a running one. A value.
struct Topology {
  std::vector<Network> networks{};
  std::vector<Member> members{};  ///< the nodes in the order of the cluster, then the client
  friend bool operator==(const Topology&, const Topology&) = default;
};

/// What a user asked for.
struct Request {
  std::size_t node_count{2};
  std::vector<std::string> networks{"default", "replication"};
  std::uint32_t first_subnet{0};  ///< k of 10.99.k.0/24 for the first network; the others follow
};

/// Nodes `node1`.. at .1.. of each network, the client at .254 of the first.
/// Errors: Invalid for a count, a name or a subnet out of range.
[[nodiscard]] Result<Topology> plan_topology(const Request& request);

/// The nodes, lans and addresses of a Cluster object (YAML or JSON). The client gets the address .254 of the
/// first lan. Errors: Invalid with every problem of the text, or with what a sandbox cannot do: another form
/// than IPv4, a lan that is not one /24, a node called `client`.
[[nodiscard]] Result<Topology> topology_of_cluster(std::string_view text);

/// k of a network in 10.99.k.0/24; none when it is elsewhere.
[[nodiscard]] std::optional<std::uint32_t> subnet_of(const Network& network);

/// Letters, digits, `-`, `_` and `.`, 1 to 32 of them, the first a letter or a digit: safe in paths and in
/// `ip` batches.
[[nodiscard]] Status check_name(std::string_view what, std::string_view name);

/// The lowest k such that k .. k + count - 1 are all free. Errors: Exhausted.
[[nodiscard]] Result<std::uint32_t> free_subnet(const std::vector<std::uint32_t>& used, std::size_t count);

/// The pseudo node, with address .254 of the first network.
[[nodiscard]] Member client_of(const Topology& topology);

/// An address in the first network that no member has, for a virtual IP.
[[nodiscard]] std::string virtual_address(const Topology& topology);

/// Names of the switch's end of a member's cable and of a network's bridge; at most 15 bytes (IFNAMSIZ).
[[nodiscard]] std::string port_name(std::size_t member, std::size_t network);
[[nodiscard]] std::string bridge_name(std::size_t network);
[[nodiscard]] std::string interface_name(std::size_t network);

/// The text of /etc/hosts for every member: each by its name on the first network, `<name>-<network>` on the
/// others.
[[nodiscard]] std::string hosts_text(const Topology& topology);
/// The Cluster object (YAML) for `safekit cluster init -f`.
[[nodiscard]] std::string cluster_text(const Topology& topology, std::string_view cluster_name);

}  // namespace safekit::sandbox
