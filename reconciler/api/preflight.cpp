#include "reconciler/api/preflight.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "reconciler/api/request.h"

namespace safekit::api {
namespace {

using doc::Node;
using Level = PreflightFinding::Level;

constexpr Duration kTimeoutStep = milliseconds{100};
constexpr int kDelays = 10;

double ms_of(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }
Node number(double value) { return Node::number(fmt::format("{:.3f}", value)); }

double value_at(const Node& tree, std::string_view name) {
  const std::string text = text_at(tree, {name});
  return text.empty() ? 0 : std::strtod(text.c_str(), nullptr);
}

void judge_peer(const PreflightPeer& peer, std::vector<PreflightFinding>& found) {
  if (!peer.problem.empty()) {
    found.push_back({Level::Error, fmt::format("node {} cannot be asked: {}", peer.node, peer.problem)});
    return;
  }
  for (const PreflightLan& lan : peer.lans) {
    if (!lan.port_open) {
      found.push_back({Level::Error, fmt::format("network {}: port TCP {} of node {} ({}) is not open: start safekitd there, and let the "
                                                 "firewall pass it", lan.name, kHttpsPort, peer.node, lan.address)});
    }
    if (!lan.round_trip) {
      found.push_back({Level::Warning, fmt::format("network {}: node {} ({}) answers no echo (ping); heartbeats may pass all the same",
                                                   lan.name, peer.node, lan.address)});
    }
  }
  const Duration offset = std::max(peer.clock_offset, -peer.clock_offset);
  if (offset > kClockOffsetMax + peer.clock_error) {
    found.push_back({Level::Warning, fmt::format("the clock of node {} is {:.1f} s {}: set up NTP on both; nothing is decided by it, but logs "
                                                 "cannot be compared and certificates may count as not yet valid",
                                                 peer.node, ms_of(offset) / 1000, peer.clock_offset > Duration{0} ? "ahead" : "behind")});
  }
  if (peer.bytes_per_second < kBandwidthMin) {
    found.push_back({Level::Warning, fmt::format("only {:.1f} MB/s to node {}: a full synchronisation of 10 GB takes {:.0f} minutes",
                                                 static_cast<double>(peer.bytes_per_second) / 1e6, peer.node,
                                                 1e10 / 60 / static_cast<double>(std::max<std::uint64_t>(peer.bytes_per_second, 1)))});
  }
}

void judge_self(const PreflightSelf& self, std::vector<PreflightFinding>& found) {
  const auto has = [&](const char* name) { return text_at(self.tree, {"features", name}) == "true"; };
  if (!has("kernelNewEnough")) {
    found.push_back({Level::Error, fmt::format("node {}: kernel {} is older than 5.15, which replication needs", self.node, text_at(self.tree, {"kernel"}))});
  }
  if (!has("fuse")) found.push_back({Level::Error, fmt::format("node {}: /dev/fuse cannot be opened: load the module fuse", self.node)});
  if (!has("controlGroups")) {
    found.push_back({Level::Warning, fmt::format("node {}: no control groups of version 2: what scripts leave behind is not found", self.node)});
  }
  const Node* directories = self.tree.find("directories");
  if (directories == nullptr) return;
  for (const Node& one : directories->children) {
    const std::string path = text_at(one, {"path"});
    if (const std::string problem = text_at(one, {"problem"}); !problem.empty()) {
      found.push_back({Level::Warning, fmt::format("node {}: {}", self.node, problem)});
    } else if (value_at(one, "syncMedianMs") > ms_of(kSyncMax)) {
      found.push_back({Level::Warning, fmt::format("node {}: a durable write in {} takes {:.1f} ms (median): an application that waits for its "
                                                   "disk waits for that on both nodes", self.node, path, value_at(one, "syncMedianMs"))});
    }
  }
}

}  // namespace

Duration timeout_for(const std::vector<PreflightPeer>& peers) {
  Duration worst{};
  for (const PreflightPeer& peer : peers) {
    for (const PreflightLan& lan : peer.lans) worst = std::max(worst, lan.round_trip.value_or(Duration{}));
  }
  const Duration needed = kDelays * worst + kTimeoutMin;
  if (worst <= milliseconds{1}) return kTimeoutMin;
  return (needed + kTimeoutStep - Duration{1}) / kTimeoutStep * kTimeoutStep;
}

std::vector<PreflightFinding> findings_of(const std::vector<PreflightPeer>& peers, const std::vector<PreflightSelf>& nodes,
                                          const std::optional<Duration>& configured) {
  std::vector<PreflightFinding> found;
  for (const PreflightPeer& peer : peers) judge_peer(peer, found);
  for (const PreflightSelf& self : nodes) judge_self(self, found);
  const Duration timeout = timeout_for(peers);
  if (configured && *configured < timeout) {
    found.push_back({Level::Warning, fmt::format("the heartbeat time-out {} is shorter than these networks bear: at least {} (heartbeats.timeout)",
                                                 safekit::to_string(*configured), safekit::to_string(timeout))});
  }
  if (found.empty()) found.push_back({Level::Fine, "nothing is in the way"});
  return found;
}

Node report_of(const std::vector<PreflightPeer>& peers, const std::vector<PreflightSelf>& nodes, const std::vector<PreflightFinding>& findings,
               Duration timeout) {
  Node tree = Node::map();
  tree.add("kind", Node::string("Preflight"));
  Node& others = tree.add("peers", Node::list());
  for (const PreflightPeer& peer : peers) {
    Node& one = others.push(Node::map());
    one.add("node", Node::string(peer.node));
    if (!peer.problem.empty()) {
      one.add("problem", Node::string(peer.problem));
      continue;
    }
    one.add("answerMedianMs", number(ms_of(peer.answer_median)));
    one.add("answerWorstMs", number(ms_of(peer.answer_worst)));
    one.add("clockOffsetMs", number(ms_of(peer.clock_offset)));
    one.add("clockErrorMs", number(ms_of(peer.clock_error)));
    one.add("bytesPerSecond", Node::number(std::to_string(peer.bytes_per_second)));
    Node& lans = one.add("networks", Node::list());
    for (const PreflightLan& lan : peer.lans) {
      Node& entry = lans.push(Node::map());
      entry.add("name", Node::string(lan.name));
      entry.add("address", Node::string(lan.address));
      entry.add("portOpen", Node::boolean(lan.port_open));
      if (lan.round_trip) entry.add("roundTripMs", number(ms_of(*lan.round_trip)));
    }
  }
  Node& selves = tree.add("nodes", Node::list());
  for (const PreflightSelf& self : nodes) selves.push(self.tree);
  tree.add("recommendedTimeout", Node::string(safekit::to_string(timeout)));
  Node& list = tree.add("findings", Node::list());
  for (const PreflightFinding& finding : findings) {
    Node& one = list.push(Node::map());
    one.add("level", Node::string(finding.level == Level::Fine ? "fine" : finding.level == Level::Warning ? "warning" : "error"));
    one.add("text", Node::string(finding.text));
  }
  return tree;
}

}  // namespace safekit::api
