#include "controllers/simulate/forecast.h"

#include <algorithm>

#include <fmt/format.h>

#include "controllers/membership/plan.h"
#include "controllers/simulate/stage.h"
#include "schema/spec/defaults.h"

namespace safekit::sim {
namespace {

constexpr Duration kLook = milliseconds{10};  ///< the outage is told to this
constexpr std::array<std::pair<std::string_view, Happening::Kind>, 7> kWords{{{"node", Happening::Kind::Node},
                                                                             {"network", Happening::Kind::Network},
                                                                             {"process", Happening::Kind::Process},
                                                                             {"checker", Happening::Kind::Checker},
                                                                             {"witness", Happening::Kind::Witness},
                                                                             {"command", Happening::Kind::Command},
                                                                             {"apply", Happening::Kind::Apply}}};
constexpr std::array<std::string_view, 8> kVerbs{"start", "stop", "stopstart", "restart", "swap", "prim", "second", "forcestop"};
constexpr std::array<std::string_view, 4> kProbed{"tcp.", "ping.", "splitbrain.", "custom."};

bool is_probed(const std::string& resource) {
  return std::ranges::any_of(kProbed, [&](std::string_view prefix) { return resource.starts_with(prefix); });
}

bool has_checker(const spec::Checkers& checkers, const std::string& resource) {
  const auto has = [&](std::string_view prefix, const auto& list) {
    return std::ranges::any_of(list, [&](const auto& one) { return resource == std::string{prefix} + one.ident; });
  };
  const bool witness = checkers.split_brain && resource == "splitbrain." + checkers.split_brain->ident;
  return witness || has("tcp.", checkers.tcp) || has("ping.", checkers.ping) || resource.starts_with("custom.");
}

Status inflict_process(Stage& stage, const std::string& name, std::size_t side) {
  Node& node = stage.node(side);
  if (name == "safekitd") {
    node.restart_daemon();
    return {};
  }
  if (name == "replica") {
    if (node.replica(stage.module()) == nullptr) return Error{Code::Invalid, fmt::format("no replica runs on {}", node.name().str())};
    node.kill_replica(stage.module());
    return {};
  }
  if (node.kill_program(stage.module(), name)) return {};
  return Error{Code::Invalid, fmt::format("no process '{}' of module '{}' runs on {}; there are safekitd, replica, and those under 'errd' by "
                                          "their names",
                                          name, stage.module(), node.name().str())};
}

Status inflict(Stage& stage, const Situation& situation, const Happening& what) {
  const std::size_t side = stage.side_of(what.kind == Happening::Kind::Node ? NodeName{what.name} : what.node);
  switch (what.kind) {
    case Happening::Kind::Node: stage.node(side).crash(); return {};
    case Happening::Kind::Network:
      if (what.name == "all") stage.cut_all();
      else stage.cut(LanName{what.name});
      return {};
    case Happening::Kind::Process: return inflict_process(stage, what.name, side);
    case Happening::Kind::Checker: stage.set_checker(side, what.name); return {};
    case Happening::Kind::Witness:
      for (std::size_t each = 0; each < 2; ++each) stage.set_checker(each, "splitbrain." + situation.module.checkers.split_brain->ident);
      return {};
    case Happening::Kind::Command: stage.node(side).command(stage.module(), what.name); return {};
    case Happening::Kind::Apply: {
      std::vector<std::string> told_before;
      stage.apply(playable(*what.spec, told_before));
      return {};
    }
  }
  return {};
}

/// What cannot happen here.
Status check(const Situation& situation, const Happening& what) {
  using Kind = Happening::Kind;
  const auto find = [&](const NodeName& name) { return std::ranges::find(situation.nodes, name, &NodeNow::name); };
  const bool on_node = what.kind == Kind::Process || what.kind == Kind::Checker || what.kind == Kind::Command || what.kind == Kind::Node;
  const NodeName name = what.kind == Kind::Node ? NodeName{what.name} : what.node;
  if (on_node && (find(name) == situation.nodes.end() || !find(name)->up)) {
    return Error{Code::Invalid, fmt::format("node '{}' is none of the module's, or does not answer; its nodes are {} and {}", name.str(),
                                            situation.nodes[0].name.str(), situation.nodes[1].name.str())};
  }
  if (what.kind == Kind::Network && what.name != "all" && spec::find_lan(situation.cluster, LanName{what.name}) == nullptr) {
    return Error{Code::Invalid, fmt::format("the cluster has no network '{}'; `all` cuts every one", what.name)};
  }
  if (what.kind == Kind::Checker && !has_checker(situation.module.checkers, what.name)) {
    return Error{Code::Invalid, fmt::format("the module has no checker '{}'; name its resource, as `safekit state -v` shows it: tcp.web, "
                                            "ping.gateway",
                                            what.name)};
  }
  if (what.kind == Kind::Witness && !situation.module.checkers.split_brain) {
    return Error{Code::Invalid, "the module has no witness: no split-brain checker"};
  }
  if (what.kind == Kind::Command && std::ranges::find(kVerbs, what.name) == kVerbs.end()) {
    return Error{Code::Invalid, fmt::format("'{}' is no command that can be simulated; there are {}", what.name, fmt::join(kVerbs, ", "))};
  }
  if (what.kind == Kind::Apply && !what.spec) return Error{Code::Invalid, "no module to apply"};
  return {};
}

/// The other node's state is told by that node itself; what is of interest is that it is not heard any more.
bool is_step(const status::Event& event) {
  const bool heard_of = event.text.starts_with("Remote state ") && !event.text.starts_with("Remote state UNKNOWN");
  return (store::is_short_log(event.level) || event.text.starts_with("Resource heartbeat.") || event.text.starts_with("Virtual IP")) && !heard_of;
}

}  // namespace

bool operator==(const NodeNow& a, const NodeNow& b) {
  const auto same = [](const Interface& x, const Interface& y) {
    return x.index == y.index && x.name == y.name && x.up == y.up && x.carrier == y.carrier && x.addresses == y.addresses;
  };
  return a.name == b.name && a.up == b.up && a.role == b.role && a.readiness == b.readiness && a.up_to_date == b.up_to_date &&
         a.last_primary == b.last_primary && a.settings == b.settings && a.down == b.down && a.silent == b.silent &&
         std::ranges::equal(a.interfaces, b.interfaces, same);
}

Result<Happening::Kind> parse_happening(const std::string& word) {
  for (const auto& [text, kind] : kWords) {
    if (text == word) return kind;
  }
  std::string words;
  for (const auto& [text, kind] : kWords) words += (words.empty() ? "" : ", ") + std::string{text};
  return Error{Code::Invalid, fmt::format("'{}' cannot be simulated; there are {}", word, words)};
}

NodeNow node_now(const spec::Module& spec, const NodeName& node, const status::Module& status, const std::vector<Interface>& interfaces) {
  NodeNow now{.name = node,
              .up = true,
              .role = status.role.role,
              .readiness = status.role.readiness,
              .up_to_date = status.replication.up_to_date,
              .last_primary = status.replication.last_primary,
              .settings = status.settings,
              .interfaces = interfaces};
  for (const auto& [name, value] : status.resources) {
    if (value.value == "down" && is_probed(name)) now.down.push_back(name);
  }
  for (const membership::HeartbeatWish& wish : membership::desired_of(spec, node).heartbeats) {
    const auto heard = status.peer.heartbeats.find(wish.ident);
    if (heard != status.peer.heartbeats.end() && !heard->second) now.silent.push_back(wish.lan);
  }
  std::vector<IpAddress> own;
  for (const spec::VipInterface& interface : spec.vip ? spec.vip->interfaces : std::vector<spec::VipInterface>{}) {
    for (const spec::VirtualAddress& address : interface.addresses) {
      if (const auto ip = parse_ip(address.address)) own.push_back(*ip);
    }
  }
  for (Interface& interface : now.interfaces) {
    std::erase_if(interface.addresses, [&](const InterfaceAddress& address) { return std::ranges::find(own, address.ip) != own.end(); });
  }
  return now;
}

Result<Forecast> forecast(const Situation& situation, const Happening& happening) {
  SK_TRY_VOID(check(situation, happening));
  Forecast result;
  Stage stage{situation, result.notes};
  SK_TRY_VOID(stage.set_up());
  const std::int64_t begin = stage.world().now();
  std::int64_t last = begin;
  stage.on_event = [&](const NodeName& node, const status::Event& event) {
    if (!is_step(event)) return;
    last = stage.world().now();
    result.steps.push_back({.at = Duration{last - begin}, .node = node, .is_state = event.text.starts_with("Local state "), .text = event.text});
  };
  const bool served = stage.serves();
  SK_TRY_VOID(inflict(stage, situation, happening));
  Duration without{};
  const auto is_over = [&] { return stage.world().now() - last >= kQuiet.count() && !stage.is_transient(); };
  while (!is_over() && stage.world().now() - begin < kHorizon.count()) {
    stage.advance(kLook);
    if (!stage.serves()) without += kLook;
  }
  result.serves = stage.serves();
  if (served) result.outage = without;
  for (std::size_t side = 0; side < 2; ++side) result.end[side] = stage.state(side);
  return result;
}

}  // namespace safekit::sim
