#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::spec {

/// Up to SafeKit 7.1: `<lan><node name addr/></lan>` in place of `<lan name>`.
struct LegacyFarmNode {
  NodeName name{};
  std::string address{};
  friend bool operator==(const LegacyFarmNode&, const LegacyFarmNode&) = default;
};

struct FarmLan {
  LanName name{};
  std::vector<LegacyFarmNode> legacy_nodes{};
  friend bool operator==(const FarmLan&, const FarmLan&) = default;
};

/// `<farm>`: group membership of a farm module. A value.
struct Farm {
  std::optional<std::uint16_t> port{};  ///< UDP; unset: 4803 + (id - 1) * 3
  Duration pulse{milliseconds{100}};
  std::uint32_t leader_lost_count{20};    ///< `mlost_count`, pulses
  std::uint32_t follower_lost_count{10};  ///< `slost_count`, pulses
  std::vector<FarmLan> lans{};
  friend bool operator==(const Farm&, const Farm&) = default;
};

/// `<host name power>`: weight of one node in a load balancing group; 0: it gets no traffic.
struct GroupHost {
  NodeName name{};
  std::uint32_t power{1};
  friend bool operator==(const GroupHost&, const GroupHost&) = default;
};

enum class Protocol { Tcp, Udp, Arp };
enum class ClientKey { OnAddr, OnPort, OnIpid };  ///< what of a packet is hashed

/// `<rule>`: which traffic to which address is shared, and by what.
struct BalancingRule {
  std::string virtual_address{"*"};
  std::optional<std::uint16_t> port{};  ///< unset: `*`
  Protocol protocol{Protocol::Tcp};
  ClientKey filter{ClientKey::OnAddr};
  friend bool operator==(const BalancingRule&, const BalancingRule&) = default;
};

/// `<group>` of `<loadbalancing_list>`. No hosts: all nodes of the farm, the same weight.
struct BalancingGroup {
  std::string name{};
  std::vector<GroupHost> hosts{};
  std::vector<BalancingRule> rules{};
  friend bool operator==(const BalancingGroup&, const BalancingGroup&) = default;
};

}  // namespace safekit::spec
