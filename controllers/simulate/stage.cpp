#include "controllers/simulate/stage.h"

#include <algorithm>

#include <fmt/format.h>

#include "schema/codec/encode.h"
#include "schema/spec/defaults.h"

namespace safekit::sim {
namespace {

using status::Readiness;
using status::Role;

constexpr Duration kStep = milliseconds{10};
constexpr Duration kCommandLimit = seconds{90};
constexpr Duration kFenceByPrimary = seconds{1};
constexpr Duration kFenceBySecondary = seconds{3};
constexpr Duration kAtRest = seconds{5};  ///< what a state leads to by itself has begun by then

}  // namespace

spec::Module playable(spec::Module spec, std::vector<std::string>& notes) {
  const auto note = [&notes](std::string text) {
    if (std::ranges::find(notes, text) == notes.end()) notes.push_back(std::move(text));
  };
  if (spec.errd) {
    std::erase_if(spec.errd->processes, [&](const spec::Process& process) {
      const bool hidden = process.service || !process.name_regex.empty() || !process.arg_regex.empty();
      if (hidden) note(fmt::format("process '{}' is known by a pattern or as a service: it is taken to go on as it is", process.name));
      return hidden;
    });
  }
  std::erase_if(spec.checkers.modules, [&](const spec::ModuleChecker& checker) {
    note(fmt::format("module '{}', which this one checks, is taken to stay in service", checker.name.str()));
    return true;
  });
  std::erase_if(spec.checkers.custom, [&](const spec::CustomChecker& checker) {
    note(fmt::format("the program of checker 'custom.{}' is not run", checker.ident));
    return true;
  });
  if (spec.checkers.split_brain && spec.checkers.split_brain->exec == "fence") {
    note("the program that switches the other node off is not run: it is taken to do so in 1 s for a primary, in 3 s for a secondary");
  }
  return spec;
}

Stage::Stage(const Situation& situation, std::vector<std::string>& notes) : situation_(situation), name_(situation.module.metadata.name) {
  const spec::Module spec = playable(situation.module, notes);
  stream_lan_ = spec.replication && !spec.replication->lan.empty() ? spec.replication->lan : spec::flow_lan(spec);
  for (const spec::VipInterface& interface : spec.vip ? spec.vip->interfaces : std::vector<spec::VipInterface>{}) {
    for (const spec::VirtualAddress& address : interface.addresses) {
      if (const auto ip = parse_ip(address.address)) addresses_.push_back(*ip);
    }
  }
  std::vector<Program> programs;
  for (const spec::Process& process : spec.errd ? spec.errd->processes : std::vector<spec::Process>{}) {
    const bool always = spec::class_of(spec, process) != "prim";
    for (std::int32_t i = 0; i < std::max(1, process.at_least); ++i) programs.push_back({.command = process.name, .always = always});
  }
  const std::string text = codec::canonical_json(spec);
  for (std::size_t side = 0; side < 2; ++side) make_node(side, text, programs);
}

void Stage::make_node(std::size_t side, const std::string& spec, const std::vector<Program>& programs) {
  const NodeName name = situation_.nodes[side].name;
  nodes_[side] = std::make_unique<Node>(Node::Ports{
      .world = world_,
      .name = name,
      .interfaces = situation_.nodes[side].interfaces,
      .cluster = codec::canonical_json(situation_.cluster),
      .modules = {{.name = name_, .spec = spec, .programs = programs}},
      .carry = [this, name](const NodeName& to, const SimHeartbeats::Datagram& datagram) { carry(name, to, datagram); },
      .reach = [this](const NodeName&, const NodeName& to) -> SimTransport* {
        return are_linked() && (to == situation_.nodes[0].name || to == situation_.nodes[1].name) ? nodes_[side_of(to)]->transport() : nullptr;
      },
      .peer_replica = [this, side](const Node&, const std::string& module) -> Replica* {
        return are_linked(stream_lan_) && nodes_[1 - side] ? nodes_[1 - side]->replica(module) : nullptr;
      },
      .next_write = [this] { return ++last_write_; },
      .acknowledged = [](const Node&, const std::string&, std::uint32_t) {},
      .promoting = [](const Node&, const std::string&, bool) {},
      .address_elsewhere = [this, side](const Node&, const IpAddress& address) {
        return are_linked() && nodes_[1 - side] && nodes_[1 - side]->is_up() && nodes_[1 - side]->has_address(address);
      },
      .answers = [this, side](const std::string& host, std::uint16_t port) { return !dead_[side].contains({host, port}); },
      .leases = leases_,
      .fence = [this, side](Node& by, ProcessIdentity program, const std::vector<std::string>& argv) {
        const bool works = !dead_[side].contains({argv.front(), 0});
        world_.after(argv.back() == "secondary" ? kFenceBySecondary : kFenceByPrimary, [this, side, &by, program, works] {
          if (!by.is_running(program)) return;
          if (works) nodes_[1 - side]->crash();
          by.end_program(program, works ? 0 : 1);
        });
      },
      .told = [this](const Node& node, const status::Event& event) {
        if (on_event) on_event(node.name(), event);
      }});
}

void Stage::carry(const NodeName& from, const NodeName& to, const SimHeartbeats::Datagram& datagram) {
  if (to != situation_.nodes[0].name && to != situation_.nodes[1].name) return;
  if (!are_linked(datagram.lan) || !nodes_[side_of(from)]->is_up()) return;
  world_.after(microseconds{100}, [this, side = side_of(to), datagram] {
    if (nodes_[side]->is_up() && nodes_[side]->heartbeats() != nullptr) nodes_[side]->heartbeats()->arrived(datagram);
  });
}

bool Stage::are_linked() const {
  return std::ranges::any_of(situation_.cluster.lans, [this](const spec::Lan& lan) { return are_linked(lan.name); });
}

void Stage::cut(const LanName& lan) {
  cut_.insert(lan);
  if (lan != stream_lan_) return;
  for (const auto& node : nodes_) {
    if (Replica* const replica = node->replica(name_)) replica->lose_stream();
  }
}

void Stage::cut_all() {
  for (const spec::Lan& lan : situation_.cluster.lans) cut(lan.name);
}

void Stage::set_checker(std::size_t side, const std::string& resource) {
  const spec::Checkers& checkers = situation_.module.checkers;
  for (const spec::TcpChecker& one : checkers.tcp) {
    if (resource == "tcp." + one.ident) silence(side, one.address, one.port);
  }
  for (const spec::PingChecker& one : checkers.ping) {
    if (resource == "ping." + one.ident) silence(side, one.address, 0);
  }
  if (checkers.split_brain && resource == "splitbrain." + checkers.split_brain->ident) {
    for (const std::string& witness : checkers.split_brain->witnesses) silence(side, witness, 0);
  }
  if (resource.starts_with("custom.")) nodes_[side]->set_resource(name_, resource, "down");
}

void Stage::apply(const spec::Module& spec) {
  // As the exchange would bring it; a node that is off hears of it when it is back.
  for (const auto& node : nodes_) node->apply(name_, codec::canonical_json(spec));
}

std::string Stage::state(std::size_t side) const {
  const auto* seen = nodes_[side]->is_up() ? nodes_[side]->status(name_) : nullptr;
  return seen == nullptr ? "off" : fmt::format("{} {}", to_string(seen->role.role), to_string(seen->role.readiness));
}

bool Stage::is_transient() const {
  return state(0).ends_with("Transient") || state(1).ends_with("Transient");
}

bool Stage::serves() {
  return std::ranges::any_of(nodes_, [this](const auto& node) {
    if (!node->is_up() || !node->is_application_up(name_)) return false;
    const Replica* const data = node->replica(name_);
    const bool writes = !situation_.module.replication || (data != nullptr && data->may_acknowledge());
    return writes && std::ranges::all_of(addresses_, [&](const IpAddress& address) { return node->has_address(address); });
  });
}

void Stage::advance(Duration by) { world_.run_until(world_.now() + by.count(), {}); }

bool Stage::until(const std::function<bool()>& reached, Duration limit) {
  const std::int64_t end = world_.now() + limit.count();
  while (!reached()) {
    if (world_.now() >= end) return false;
    advance(kStep);
  }
  return true;
}

bool Stage::is(std::size_t side, Role role) const {
  return state(side) == fmt::format("{} {}", to_string(role), to_string(role == Role::Stop ? Readiness::NotReady : Readiness::Ready));
}

/// With that one as primary, also where the module would rather have the other one.
bool Stage::pair_up(std::size_t first) {
  const auto is_pair = [&](std::size_t primary) { return is(primary, Role::Prim) && is(1 - primary, Role::Second); };
  nodes_[first]->command(name_, "prim");
  if (!until([&] { return is(first, Role::Alone); }, kCommandLimit)) return false;
  nodes_[1 - first]->command(name_, "start");
  if (!until([&] { return is_pair(first) || is_pair(1 - first); }, kCommandLimit)) return false;
  advance(kAtRest);
  if (is_pair(first)) return true;
  nodes_[1 - first]->command(name_, "swap");
  return until([&] { return is_pair(first); }, kCommandLimit);
}

bool Stage::stop(std::size_t side) {
  nodes_[side]->command(name_, "stop");
  return until([&] { return is(side, Role::Stop); }, kCommandLimit);
}

bool Stage::set_up_served(std::size_t primary) {
  const NodeNow& other = situation_.nodes[1 - primary];
  if (!pair_up(primary)) return false;
  if (other.up && other.role == Role::Second) return true;
  if (!stop(1 - primary)) return false;
  if (!other.up) nodes_[1 - primary]->crash();
  return true;
}

/// Who was the last to serve has the newest copy; a node that waits beside one that is stopped waits for that one.
bool Stage::set_up_unserved() {
  const auto& now = situation_.nodes;
  const auto waits = [&](std::size_t side) { return now[side].up && now[side].role == Role::Wait; };
  std::size_t last = now[1].last_primary && (!now[0].last_primary || !now[0].up_to_date) ? 1 : 0;
  if (waits(0) != waits(1)) last = waits(0) ? 1 : 0;
  if (!pair_up(last) || !stop(1 - last)) return false;
  advance(kAtRest);
  if (!stop(last)) return false;
  for (std::size_t side = 0; side < 2; ++side) {
    if (!now[side].up) nodes_[side]->crash();
  }
  return true;
}

Status Stage::set_up() {
  const auto& now = situation_.nodes;
  for (std::size_t side = 0; side < 2; ++side) {
    nodes_[side]->boot();
    status::Settings switches = now[side].settings;
    switches.failover = true;  // until the roles are given
    nodes_[side]->set_switches(name_, switches);
  }
  advance(kAtRest);
  std::optional<std::size_t> primary;
  for (std::size_t side = 0; side < 2; ++side) {
    if (now[side].up && status::is_serving(now[side].role)) primary = side;
  }
  bool reached = primary ? set_up_served(*primary) : set_up_unserved();
  for (std::size_t side = 0; side < 2; ++side) {
    for (const LanName& lan : now[0].up && now[1].up ? now[side].silent : std::vector<LanName>{}) cut(lan);
    if (!nodes_[side]->is_up()) continue;
    nodes_[side]->set_switches(name_, now[side].settings);
    for (const std::string& resource : now[side].down) set_checker(side, resource);
    if (now[side].role == Role::Wait) nodes_[side]->command(name_, "start");
  }
  advance(kAtRest);
  for (std::size_t side = 0; side < 2 && reached; ++side) {
    const std::string wanted = now[side].up ? fmt::format("{} {}", to_string(now[side].role), to_string(now[side].readiness)) : "off";
    reached = state(side) == wanted;
  }
  if (reached) return {};
  const auto text = [&](std::size_t side) {
    return now[side].up ? fmt::format("{} is {} {}", now[side].name.str(), to_string(now[side].role), to_string(now[side].readiness))
                        : fmt::format("{} does not answer", now[side].name.str());
  };
  return Error{Code::Conflict, fmt::format("{}, {}: this is on its way to something else, or no state that a simulation can begin with; ask "
                                           "again when each node is in a lasting state",
                                           text(0), text(1))};
}

}  // namespace safekit::sim
