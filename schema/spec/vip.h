#pragma once

#include <optional>
#include <string>
#include <vector>

#include "schema/base/time.h"
#include "schema/spec/farm.h"

namespace safekit::spec {

/// Alias: on every UP node. OneSideAlias: on the PRIM or ALONE node. OneSide: the same, and the preferred
/// source address.
enum class Where { Alias, OneSideAlias, OneSide };

/// `<virtual_addr>`. A value.
struct VirtualAddress {
  std::string address{};  ///< as written: IPv4, IPv6 (brackets or not), or a name; resource `ip.<address>`
  std::optional<Where> where{};  ///< unset: by mode (defaults.h, where_of)
  bool check{true};              ///< makes an ip checker
  bool connections{false};       ///< count connections into `connections.<address>`
  std::string netmask{};         ///< IPv4; empty: that of the interface
  friend bool operator==(const VirtualAddress&, const VirtualAddress&) = default;
};

/// Real: the card's own MAC address (mirror). The others share a virtual one (farm, spec/config.md 3.2).
enum class InterfaceType { Real, VmacDirected, VmacInvisible };

/// `<interface>` with its one `<real_interface>` or `<virtual_interface>`. A value.
struct VipInterface {
  std::string name{};  ///< `bond0`; empty: the interface whose subnet holds the address
  bool check{true};    ///< makes an intf checker
  bool arp_reroute{false};
  Duration arp_interval{seconds{60}};
  Duration arp_elapse{seconds{1200}};
  InterfaceType type{InterfaceType::Real};
  std::string mac{};  ///< vmac_invisible only; empty: 5A:FE and the first IPv4 address
  std::vector<VirtualAddress> addresses{};
  friend bool operator==(const VipInterface&, const VipInterface&) = default;
};

/// `<vip>`. A value.
struct Vip {
  bool tcp_reset{true};
  bool script_control{false};  ///< farm: scripts open and close the traffic
  std::vector<VipInterface> interfaces{};
  std::vector<BalancingGroup> groups{};  ///< farm: `<loadbalancing_list>`
  friend bool operator==(const Vip&, const Vip&) = default;
};

}  // namespace safekit::spec
