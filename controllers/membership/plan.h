#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controllers/membership/heartbeats.h"
#include "controllers/membership/payload.h"
#include "schema/base/time.h"
#include "schema/spec/cluster.h"
#include "schema/spec/module.h"
#include "schema/status/module.h"

/// Who is heard, on which network, and what he says of each module. Flows run between each pair of nodes on
/// every network of the cluster; each module judges them by its own time-outs.
namespace safekit::membership {

/// Every network of the cluster to every other node on it, at the shortest period that any module asks for. A
/// link whose address is a name is left out, with a line in `problems`: a heartbeat must not depend on a name
/// server.
struct Links {
  LinkPlan plan{};
  std::vector<std::string> problems{};
};
[[nodiscard]] Links links_of(const spec::Cluster& cluster,
                             const std::vector<std::shared_ptr<const spec::Module>>& modules,
                             const NodeName& node);

struct HeartbeatWish {
  std::string ident{};
  LanName lan{};
  Duration timeout{};
  friend bool operator==(const HeartbeatWish&, const HeartbeatWish&) = default;
};
struct Desired {
  NodeName peer{};
  std::vector<HeartbeatWish> heartbeats{};
  friend bool operator==(const Desired&, const Desired&) = default;
};
[[nodiscard]] Desired desired_of(const spec::Module& module, const NodeName& node);

struct Observed {
  std::map<LanName, LinkState>
      links{};                         ///< of the peer; a network that the cluster does not have is not in it
  std::vector<LinkState> others{};     ///< of the peer, on the networks that carry no heartbeat of this module
  std::optional<ModuleEntry> entry{};  ///< what the peer says of the module; nothing: it says nothing of it
  bool payload_seen{false};            ///< the peer has said something at all
  status::PeerSection before{};
  friend bool operator==(const Observed&, const Observed&) = default;
};

struct Line {
  char level{'E'};
  std::string text{};  ///< component `heart`
  friend bool operator==(const Line&, const Line&) = default;
};
struct Plan {
  status::PeerSection peer{};
  std::map<std::string, std::string> resources{};  ///< `heartbeat.<ident>` and `state.remote`
  std::vector<Line> lines{};
  std::optional<Duration> recheck_after{};  ///< when the next link would be too long silent
  friend bool operator==(const Plan&, const Plan&) = default;
};
inline constexpr Duration kDeafRecheck = seconds{1};      ///< while another program has the port
inline constexpr Duration kListenSoon = milliseconds{100};  ///< until the service has taken a new link up

[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, MonoTime now);

}  // namespace safekit::membership
