#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/spec/cluster.h"
#include "schema/spec/module.h"

/// What a value is when the author left it out and it hangs on another field or on the form of the file.
/// Plain defaults stand at the members of the structs; nothing else in the tree knows a default.
namespace safekit::spec {

/// Which form a file has: XML keeps SafeKit's own defaults where ours are shorter or safer.
enum class Dialect { Ours, SafekitXml };
[[nodiscard]] Heart default_heart(Dialect dialect);
[[nodiscard]] Replication default_replication(Dialect dialect);

/// Ports: the one given, else derived from the module's id (spec/config.md 2.2). `id` 0 counts as 1.
[[nodiscard]] std::uint16_t heart_port(const Module& module);
[[nodiscard]] std::uint16_t replication_port(const Module& module);
[[nodiscard]] std::uint16_t farm_port(const Module& module);

[[nodiscard]] Duration pulse_of(const Heart& heart, const Heartbeat& heartbeat);
[[nodiscard]] Duration timeout_of(const Heart& heart, const Heartbeat& heartbeat);
/// Zero without heartbeats.
[[nodiscard]] Duration longest_heartbeat_timeout(const Module& module);
/// `heartbeat.<ident>`: the ident, else the lan, else the position (legacy syntax).
[[nodiscard]] std::string ident_of(const Heart& heart, const Heartbeat& heartbeat);
/// Lan of replication: the one named, else the heartbeat with ident `flow`, else the first. Empty: there is
/// none.
[[nodiscard]] LanName flow_lan(const Module& module);
/// Bytes of a zone: zone_size, else resync_packet_size, else 8 MiB.
[[nodiscard]] std::uint64_t zone_size_of(const Replication& replication);

[[nodiscard]] Where where_of(const Module& module, const VirtualAddress& address);
[[nodiscard]] std::string class_of(const Module& module, const Process& process);
/// Prim in a mirror, both elsewhere.
[[nodiscard]] When default_when(const Module& module);
[[nodiscard]] When when_of(const Module& module, const TcpChecker& checker);
[[nodiscard]] When when_of(const Module& module, const IpChecker& checker);
[[nodiscard]] When when_of(const Module& module, const CustomChecker& checker);
[[nodiscard]] CheckerAction action_of(const Module& module, const TcpChecker& checker);
[[nodiscard]] CheckerAction action_of(const PingChecker& checker);
[[nodiscard]] std::string ident_of(const ModuleChecker& checker);

/// The ip checkers that virtual addresses with `check` make; a checker of that ident written by hand replaces
/// its like.
[[nodiscard]] std::vector<IpChecker> generated_ip_checkers(const Module& module);

/// A rule made for a checker with an action: label `t_<ident>`, resource `tcp.<ident>`.
struct GeneratedRule {
  std::string label{};
  std::string resource{};
  CheckerAction action{CheckerAction::NoAction};
  friend bool operator==(const GeneratedRule&, const GeneratedRule&) = default;
};
[[nodiscard]] std::vector<GeneratedRule> generated_rules(const Module& module);

/// Lan of distributed commands: the one with `command`, else the first. Null: there is no lan.
[[nodiscard]] const Lan* command_lan(const Cluster& cluster);
[[nodiscard]] const Lan* find_lan(const Cluster& cluster, const LanName& name);
/// Null: the node has no address on that lan.
[[nodiscard]] const NodeAddress* find_node(const Lan& lan, const NodeName& node);
/// Every node of the cluster once, in document order.
[[nodiscard]] std::vector<NodeName> nodes_of(const Cluster& cluster);

}  // namespace safekit::spec
