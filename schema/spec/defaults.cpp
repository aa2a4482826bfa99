#include "schema/spec/defaults.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::spec {
namespace {

constexpr std::uint64_t kZoneBytes = 8 * 1024 * 1024;

std::uint16_t derived_port(std::uint32_t base, std::uint32_t step, std::uint32_t id) {
  return static_cast<std::uint16_t>(base + (id == 0 ? 0 : id - 1) * step);
}

}  // namespace

Heart default_heart(Dialect dialect) {
  Heart heart;
  if (dialect == Dialect::SafekitXml) {
    heart.pulse = milliseconds{700};
    heart.timeout = milliseconds{30000};
  }
  return heart;
}

Replication default_replication(Dialect dialect) {
  Replication replication;
  if (dialect == Dialect::SafekitXml) replication.secondary_ack = SecondaryAck::Received;
  return replication;
}

std::uint16_t heart_port(const Module& module) {
  if (module.heart && module.heart->port) return *module.heart->port;
  return derived_port(8888, 1, module.id);
}

std::uint16_t replication_port(const Module& module) {
  return derived_port(5600, 4, module.id);
}

std::uint16_t farm_port(const Module& module) {
  if (module.farm && module.farm->port) return *module.farm->port;
  return derived_port(4803, 3, module.id);
}

Duration pulse_of(const Heart& heart, const Heartbeat& heartbeat) {
  return heartbeat.pulse.value_or(heart.pulse);
}
Duration timeout_of(const Heart& heart, const Heartbeat& heartbeat) {
  return heartbeat.timeout.value_or(heart.timeout);
}

Duration longest_heartbeat_timeout(const Module& module) {
  Duration longest{};
  if (!module.heart) return longest;
  for (const Heartbeat& heartbeat : module.heart->lans) longest = std::max(longest, timeout_of(*module.heart, heartbeat));
  return longest;
}

std::string ident_of(const Heart& heart, const Heartbeat& heartbeat) {
  if (!heartbeat.ident.empty()) return heartbeat.ident;
  if (!heartbeat.lan.empty()) return heartbeat.lan.str();
  const auto at = std::find(heart.lans.begin(), heart.lans.end(), heartbeat);
  return fmt::format("{}", at - heart.lans.begin());
}

LanName flow_lan(const Module& module) {
  if (module.replication && !module.replication->lan.empty()) return module.replication->lan;
  if (!module.heart || module.heart->lans.empty()) return {};
  for (const Heartbeat& heartbeat : module.heart->lans) {
    if (heartbeat.ident == "flow") return heartbeat.lan;
  }
  return module.heart->lans.front().lan;
}

std::uint64_t zone_size_of(const Replication& replication) {
  return replication.zone_size.value_or(replication.resync_packet_size.value_or(kZoneBytes));
}

Where where_of(const Module& module, const VirtualAddress& address) {
  return address.where.value_or(module.mode == Mode::Farm ? Where::Alias : Where::OneSideAlias);
}

std::string class_of(const Module& module, const Process& process) {
  if (!process.watch_class.empty()) return process.watch_class;
  return module.mode == Mode::Mirror ? "prim" : "both";
}

When default_when(const Module& module) {
  return module.mode == Mode::Mirror ? When::Prim : When::Both;
}
When when_of(const Module& module, const TcpChecker& checker) {
  return checker.when.value_or(default_when(module));
}
When when_of(const Module& module, const IpChecker& checker) {
  return checker.when.value_or(default_when(module));
}
When when_of(const Module& module, const CustomChecker& checker) {
  return checker.when.value_or(default_when(module));
}

CheckerAction action_of(const Module& module, const TcpChecker& checker) {
  // A restart would need a running application: before prestart there is none to restart.
  const bool pre = when_of(module, checker) == When::Pre;
  return checker.action.value_or(pre ? CheckerAction::Wait : CheckerAction::Restart);
}
CheckerAction action_of(const PingChecker& checker) {
  return checker.action.value_or(CheckerAction::Wait);
}

std::string ident_of(const ModuleChecker& checker) {
  if (!checker.ident.empty()) return checker.ident;
  return fmt::format("{}_{}", checker.name.str(), checker.address);
}

std::vector<IpChecker> generated_ip_checkers(const Module& module) {
  std::vector<IpChecker> made;
  if (!module.vip) return made;
  for (const VipInterface& interface : module.vip->interfaces) {
    for (const VirtualAddress& address : interface.addresses) {
      const bool by_hand = std::any_of(module.checkers.ip.begin(), module.checkers.ip.end(),
                                       [&](const IpChecker& ip) { return ip.ident == address.address; });
      if (!address.check || by_hand) continue;
      made.push_back({.ident = address.address, .when = default_when(module), .address = address.address});
    }
  }
  return made;
}

std::vector<GeneratedRule> generated_rules(const Module& module) {
  std::vector<GeneratedRule> made;
  const auto add = [&](std::string_view prefix, std::string_view domain, const std::string& ident,
                       CheckerAction action) {
    if (action == CheckerAction::NoAction) return;
    made.push_back({fmt::format("{}_{}", prefix, ident), fmt::format("{}.{}", domain, ident), action});
  };
  for (const TcpChecker& tcp : module.checkers.tcp) add("t", "tcp", tcp.ident, action_of(module, tcp));
  for (const PingChecker& ping : module.checkers.ping) add("p", "ping", ping.ident, action_of(ping));
  for (const CustomChecker& custom : module.checkers.custom) add("c", "custom", custom.ident, custom.action);
  return made;
}

const Lan* command_lan(const Cluster& cluster) {
  for (const Lan& lan : cluster.lans) {
    if (lan.command) return &lan;
  }
  return cluster.lans.empty() ? nullptr : &cluster.lans.front();
}

const Lan* find_lan(const Cluster& cluster, const LanName& name) {
  for (const Lan& lan : cluster.lans) {
    if (lan.name == name) return &lan;
  }
  return nullptr;
}

const NodeAddress* find_node(const Lan& lan, const NodeName& node) {
  for (const NodeAddress& address : lan.nodes) {
    if (address.name == node) return &address;
  }
  return nullptr;
}

std::vector<NodeName> nodes_of(const Cluster& cluster) {
  std::vector<NodeName> nodes;
  for (const Lan& lan : cluster.lans) {
    for (const NodeAddress& address : lan.nodes) {
      if (std::find(nodes.begin(), nodes.end(), address.name) == nodes.end()) nodes.push_back(address.name);
    }
  }
  return nodes;
}

}  // namespace safekit::spec
