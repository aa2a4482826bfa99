#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"
#include "schema/spec/metadata.h"
#include "schema/spec/written_xml.h"

namespace safekit::spec {

/// `<node name addr laddr>`: one node on one lan.
struct NodeAddress {
  NodeName name{};
  std::string address{};        ///< how the other nodes reach it: IPv4, IPv6 (brackets or not), or a name
  std::string local_address{};  ///< what its interface has, where NAT makes that another; empty: `address`
  friend bool operator==(const NodeAddress&, const NodeAddress&) = default;
};

/// `<lan>`: one broadcast domain. Modules name it, never its addresses.
struct Lan {
  LanName name{};
  bool command{false};  ///< `-H` commands travel here; none says so: the first lan (defaults.h, command_lan)
  std::vector<NodeAddress> nodes{};
  friend bool operator==(const Lan&, const Lan&) = default;
};

/// The nodes and the networks between them; the same on every node. A value.
/// Source: spec/config.md 1.
struct Cluster {
  Metadata metadata{};
  std::uint16_t port{4800};  ///< UDP, membership of the nodes
  Duration pulse{milliseconds{100}};
  std::uint32_t leader_lost_count{20};  ///< `mlost_count`: pulses without the leader until another is elected
  std::uint32_t follower_lost_count{10};  ///< `slost_count`: pulses without a follower until it is offline
  std::vector<Lan> lans{};
  WrittenXml xml{};
  friend bool operator==(const Cluster&, const Cluster&) = default;
};

}  // namespace safekit::spec
