#include "e2e/sim/cluster.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

namespace safekit::sim {
namespace {

using status::Readiness;
using status::Role;

constexpr Duration kBeforeFaults = seconds{5};
constexpr Duration kAfterFaults = milliseconds{500};
constexpr Duration kSettleLimit = seconds{240};
constexpr Duration kStopLimit = seconds{120};
constexpr Duration kAgreeLimit = seconds{30};
constexpr Duration kAfterwards = seconds{12};  ///< a time-out and the withheld heartbeats of a new safekitd, and more
constexpr std::array<std::string_view, 2> kLans{"net0", "net1"};

std::string node_name(std::uint32_t number) { return std::string(1, static_cast<char>('a' + number)); }
std::uint32_t number_of(const NodeName& node) { return static_cast<std::uint32_t>(node.str()[0] - 'a'); }
std::string node_address(std::uint32_t lan, std::uint32_t node) { return fmt::format("10.0.{}.{}", lan, node + 1); }

std::string cluster_spec(std::uint32_t nodes) {
  std::string lans;
  for (std::uint32_t lan = 0; lan < kLans.size(); ++lan) {
    std::string list;
    for (std::uint32_t node = 0; node < nodes; ++node) {
      list += fmt::format(R"({}{{"name":"{}","address":"{}"}})", node == 0 ? "" : ",", node_name(node), node_address(lan, node));
    }
    lans += fmt::format(R"({}{{"name":"{}","nodes":[{}]}})", lan == 0 ? "" : ",", kLans[lan], list);
  }
  return fmt::format(R"({{"apiVersion":"safekit/v1","kind":"Cluster","metadata":{{"name":"cluster"}},"spec":{{"lans":[{}]}}}})", lans);
}

std::string witness_spec(WitnessKind kind) {
  switch (kind) {
    case WitnessKind::None: return "";
    case WitnessKind::Echo: return R"("checkers":{"splitBrain":{"ident":"w","exec":"ping","witnesses":["witness"]}},)";
    case WitnessKind::Fence: return R"("checkers":{"splitBrain":{"ident":"w","exec":"fence","witnesses":["/sbin/off"]}},)";
    case WitnessKind::Lease: return R"("checkers":{"splitBrain":{"ident":"w","exec":"http","witnesses":["witness"],"lease":"5s"}},)";
  }
  return "";
}

std::string module_spec(const std::string& name, const Pair& pair, const std::string& address, std::uint32_t revision, WitnessKind witness) {
  return fmt::format(
      R"({{"apiVersion":"safekit/v1","kind":"Module","metadata":{{"name":"{}"}},"spec":{{"mode":"mirror","nodes":["{}","{}"],)"
      R"("heartbeats":{{"lans":["net0","net1"]}},"replication":{{"directories":["/data"]}},"virtualIPs":["{}"],{}"errd":{{"poll":"{}s"}},)"
      R"("scripts":{{"files":{{"start_prim":"#!/bin/sh\n","stop_prim":"#!/bin/sh\n"}}}}}}}})",
      name, node_name(pair[0]), node_name(pair[1]), address, witness_spec(witness), 30 + revision);
}

}  // namespace

Cluster::Cluster(const RunPlan& plan, bool keep_lines) : plan_(plan), world_(plan.seed), links_(plan.nodes) {
  world_.keep_lines(keep_lines);
  leases_->defect = plan_.defect;
  leases_->drift_ppm = drift();
  for (std::uint32_t i = 0; i < plan_.modules.size(); ++i) {
    services_.push_back({.name = fmt::format("db{}", i), .pair = plan_.modules[i], .address = parse_ip(fmt::format("10.0.0.{}", 101 + i)).value()});
  }
  for (std::uint32_t number = 0; number < plan_.nodes; ++number) make_node(number);
}

void Cluster::make_node(std::uint32_t number) {
  std::vector<Module> modules;
  for (const Service& service : services_) {
    if (std::ranges::find(service.pair, number) == service.pair.end()) continue;
    modules.push_back({.name = service.name, .spec = module_spec(service.name, service.pair, to_string(service.address), 0, plan_.witness)});
  }
  const NodeName name{node_name(number)};
  const InterfaceAddress own{.ip = parse_ip(node_address(0, number)).value(), .prefix_length = 24};
  nodes_.push_back(std::make_unique<Node>(Node::Ports{
      .world = world_,
      .name = name,
      .interfaces = {{.index = 2, .name = "eth0", .up = true, .carrier = true, .addresses = {own}}},
      .cluster = cluster_spec(plan_.nodes),
      .modules = std::move(modules),
      .defect = plan_.defect,
      .drift_ppm = drift(),
      .carry = [this, name](const NodeName& to, const SimHeartbeats::Datagram& datagram) { carry(name, to, datagram); },
      .reach = [this](const NodeName& from, const NodeName& to) { return reach(from, to); },
      .peer_replica = [this](const Node& node, const std::string& module) { return peer_replica(node, module); },
      .next_write = [this] { return ++last_write_; },
      .acknowledged = [this](const Node& node, const std::string& module, std::uint32_t write) { acknowledged(node, module, write); },
      .promoting = [this](const Node& node, const std::string& module, bool) { promoting(node, module); },
      .address_elsewhere = [this, number](const Node&, const IpAddress& address) {
        for (std::uint32_t there = 0; there < nodes_.size(); ++there) {
          if (there != number && nodes_[there]->is_up() && are_linked(number, there, 0) && nodes_[there]->has_address(address)) return true;
        }
        return false;
      },
      .answers = [this, number](const std::string& host, std::uint16_t) { return host != "witness" || reaches_witness(number); },
      .leases = leases_,
      .fence = [this](Node& by, ProcessIdentity program, const std::vector<std::string>& argv) { fence(by, program, argv); }}));
}

/// Of a clock against the world's, in 10^-6: what docs/leases.md allows where that matters.
std::int64_t Cluster::drift() {
  const std::int64_t most = is_leased() ? 950 : 200;
  return static_cast<std::int64_t>(world_.below(static_cast<std::uint64_t>(2 * most + 1))) - most;
}

bool Cluster::reaches_witness(std::uint32_t node) const {
  const Links& links = links_[node];
  return witness_down_ == 0 && links.all == links.parted && links.muted == 0 && links.witness == 0;
}

void Cluster::fail(const Service& service, std::string_view what) {
  if (!broken_.empty()) return;
  broken_ = fmt::format("module {}: {}", service.name, what);
  world_.note("cluster", fmt::format("!!! {}{}", broken_, text(service)));
}

std::string Cluster::text(const Service& service) const {
  std::string out;
  for (std::size_t side = 0; side < 2; ++side) {
    const Node& node = at(service, side);
    const Copy& copy = node.copy(service.name);
    out += fmt::format("\n      {} {}", node.name().str(), node.is_up() ? "up" : "down");
    if (const auto* seen = node.status(service.name)) {
      out += fmt::format(" {} {} '{}' {}", to_string(seen->role.role), to_string(seen->role.readiness), seen->role.waiting_for, seen->role.reason);
      out += fmt::format(" sees replica alive {:d} settled {:d} connected {:d} synchronised {:d}, peer heard {:d}", seen->replication.alive,
                         seen->replication.settled, seen->replication.connected, seen->replication.peer_synchronised, seen->peer.heard);
      if (is_leased()) out += fmt::format(" lease need {} answer {}, peer's {:d}", int(seen->role.lease), int(seen->lease.answer), seen->peer.holds_lease);
    }
    out += fmt::format(" copy uptodate {:d} inconsistent {:d} ever {:d} writes {} synced {} complete {:d}", copy.up_to_date, copy.inconsistent,
                       copy.ever, copy.content.size(), copy.synced, has_everything(service, copy));
    if (const Replica* replica = node.replica(service.name)) {
      out += fmt::format(" replica primary {:d} acknowledges {:d} waits {:d}", replica->is_primary(), replica->may_acknowledge(),
                         replica->is_waiting());
    }
  }
  return out;
}

Cluster::Service& Cluster::service_of(const std::string& module) { return *std::ranges::find(services_, module, &Service::name); }

bool Cluster::are_linked(std::uint32_t one, std::uint32_t two, std::uint32_t lan) const {
  return links_[one].lans[lan] == 0 && links_[two].lans[lan] == 0;
}

void Cluster::carry(const NodeName& from, const NodeName& to, const SimHeartbeats::Datagram& datagram) {
  const std::uint32_t one = number_of(from);
  const std::uint32_t two = number_of(to);
  const bool is_lossy = links_[one].lossy + links_[two].lossy > 0;
  if (!are_linked(one, two, datagram.lan.str() == kLans[0] ? 0 : 1) || world_.chance(is_lossy ? 40 : 1)) return;
  if (!nodes_[one]->is_up() || links_[one].muted > 0) return;
  Node& receiver = *nodes_[two];
  const int copies = world_.chance(1) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const bool late = world_.chance(2) || (plan_.defect == Defect::OldHeartbeat && world_.chance(10));
    const Duration delay = late ? world_.between(milliseconds{1}, milliseconds{400}) : world_.between(microseconds{80}, milliseconds{2});
    world_.after(delay, [&receiver, datagram] {
      if (receiver.is_up() && receiver.heartbeats() != nullptr) receiver.heartbeats()->arrived(datagram);
    });
  }
}

SimTransport* Cluster::reach(const NodeName& from, const NodeName& to) const {
  const std::uint32_t one = number_of(from);
  const std::uint32_t two = number_of(to);
  const bool linked = links_[one].muted + links_[two].muted == 0 && (are_linked(one, two, 0) || are_linked(one, two, 1));
  return linked && two < nodes_.size() && nodes_[two]->is_up() ? nodes_[two]->transport() : nullptr;
}

Replica* Cluster::peer_replica(const Node& node, const std::string& module) {
  const Service& service = service_of(module);
  const Links& first = links_[service.pair[0]];
  const Links& second = links_[service.pair[1]];
  const bool cut = service.stream_cut + first.all + second.all + first.muted + second.muted > 0;
  if (cut || !node.is_up() || !other(service, node).is_up()) return nullptr;
  return other(service, node).replica(module);
}

void Cluster::lose_stream(const Service& service) {
  for (std::size_t side = 0; side < 2; ++side) {
    if (Replica* const replica = at(service, side).replica(service.name)) replica->lose_stream();
  }
}

bool Cluster::has_everything(const Service& service, const Copy& copy) { return std::ranges::includes(copy.content, service.acknowledged); }

void Cluster::acknowledged(const Node& node, const std::string& module, std::uint32_t number) {
  Service& service = service_of(module);
  ++service.count;
  if (service.split) return;
  const Copy& copy = node.copy(module);
  if (!service.acknowledged.empty() && !std::ranges::binary_search(copy.content, service.acknowledged.back())) {
    return fail(service, fmt::format("node {} acknowledged a write and lacks one that was acknowledged before", node.name().str()));
  }
  const Replica* const there = other(service, node).replica(module);
  if (there != nullptr && there->may_acknowledge()) return fail(service, "two nodes acknowledge writes at once");
  if (service.acknowledged.empty() || service.acknowledged.back() < number) service.acknowledged.push_back(number);
}

void Cluster::promoting(const Node& node, const std::string& module) {
  Service& service = service_of(module);
  look_for_split(service);
  // It may have been silent for a moment that lies between two looks.
  const Replica* const there = other(service, node).replica(module);
  if (!is_leased() && excused(service) && there != nullptr && there->is_primary()) service.split = true;
  if (!service.split && !has_everything(service, node.copy(module))) {
    fail(service, fmt::format("node {} was promoted with a copy that lacks an acknowledged write", node.name().str()));
  }
}

/// One of them serves, and the other one has all that it has.
void Cluster::end_split(Service& service) {
  if (!service.split || excused(service) || !is_pair(service)) return;
  service.split = false;
  // What the other side alone had is set aside by now. Some of the last ones are under way still: those count that no loss of power takes.
  const auto on_disk = [&](std::size_t side) {
    const Copy& copy = at(service, side).copy(service.name);
    return std::span{copy.content}.first(copy.synced);
  };
  std::vector<std::uint32_t> kept;
  std::ranges::set_intersection(on_disk(0), on_disk(1), std::back_inserter(kept));
  service.acknowledged = std::move(kept);
}

void Cluster::excuse(std::uint32_t node, Duration how_long) {
  for (Service& service : services_) {
    if (std::ranges::find(service.pair, node) == service.pair.end()) continue;
    service.excused_until = std::max(service.excused_until, world_.now() + (how_long + kAfterwards).count());
  }
}

void Cluster::look_for_split(Service& service) {
  if (is_leased()) return;  // a living peer may well be taken for dead
  if (!at(service, 0).is_up() || !at(service, 1).is_up()) return;
  for (std::size_t side = 0; side < 2; ++side) {
    const auto* seen = at(service, side).status(service.name);
    const auto* theirs = at(service, 1 - side).status(service.name);
    if (seen == nullptr || theirs == nullptr || seen->peer.heard || !seen->peer.silence_known || seen->replication.connected) continue;
    if (theirs->role.role == Role::Stop || theirs->role.role == Role::Wait) continue;
    if (excused(service)) service.split = true;
    else fail(service, fmt::format("node {} takes its living peer for dead", at(service, side).name().str()));
  }
}

void Cluster::look_for_addresses(Service& service) {
  if (is_leased()) {
    const auto answers = [&](std::size_t side) { return at(service, side).is_up() && at(service, side).answers_at(service.name, service.address); };
    if (answers(0) && answers(1)) fail(service, "both nodes answer at the virtual address");
    return;
  }
  const auto has = [&](std::size_t side) { return at(service, side).is_up() && at(service, side).has_address(service.address); };
  if (service.split || excused(service) || !has(0) || !has(1)) service.both_addresses_since = -1;
  else if (service.both_addresses_since < 0) service.both_addresses_since = world_.now();
  else if (Duration{world_.now() - service.both_addresses_since} > seconds{10}) fail(service, "both nodes have the virtual address");
}

void Cluster::check() {
  for (Service& service : services_) {
    look_for_split(service);
    end_split(service);
    look_for_addresses(service);
  }
}

void Cluster::cut_lan(std::uint32_t node, std::uint32_t lan, Duration length) {
  ++links_[node].lans[lan];
  for (std::uint32_t peer = 0; peer < plan_.nodes; ++peer) {
    if (peer != node && !are_linked(node, peer, 0) && !are_linked(node, peer, 1)) excuse(node, length);
  }
  world_.after(length, [this, node, lan] { --links_[node].lans[lan]; });
}

void Cluster::cut_all(std::uint32_t node, Duration length) {
  excuse(node, length);
  Links& links = links_[node];
  ++links.all;
  for (int& lan : links.lans) ++lan;
  for (const Service& service : services_) {
    if (std::ranges::find(service.pair, node) != service.pair.end()) lose_stream(service);
  }
  world_.after(length, [&links] {
    --links.all;
    for (int& lan : links.lans) --lan;
  });
}

/// What it sends gets nowhere; it hears the others.
void Cluster::mute(std::uint32_t node, Duration length) {
  excuse(node, length);
  ++links_[node].muted;
  for (const Service& service : services_) {
    if (std::ranges::find(service.pair, node) == service.pair.end()) continue;
    if (Replica* const replica = nodes_[node]->replica(service.name)) replica->mute();
  }
  world_.after(length, [this, node] { --links_[node].muted; });
}

/// A switch of the power that is asked for by a program: it may be late, fail, or have done it and say that it failed.
void Cluster::fence(Node& by, ProcessIdentity program, const std::vector<std::string>& argv) {
  const Duration behind = argv.back() == "secondary" ? seconds{2} : seconds{0};
  Node& other = *nodes_[number_of(NodeName{argv[argv.size() - 2]})];
  world_.after(behind + world_.between(milliseconds{20}, seconds{2}), [this, &by, &other, program] {
    if (!by.is_running(program)) return;
    const bool fails = world_.chance(6);
    const bool works = (!fails || world_.chance(50)) && plan_.defect != Defect::FenceLies;
    world_.after(world_.between(microseconds{100}, seconds{1}), [this, &by, &other, program, fails, works] {
      if (works) {
        other.crash();
        world_.after(world_.between(milliseconds{300}, seconds{12}), [&other] { other.boot(); });
      }
      world_.after(world_.between(microseconds{100}, seconds{world_.chance(10) ? 10 : 1}), [&by, program, fails] { by.end_program(program, fails ? 1 : 0); });
    });
  });
}

void Cluster::inflict(const Fault& fault) {
  world_.note("cluster", to_string(fault));
  if (is_of_module(fault.kind)) return inflict_on_module(fault, services_[fault.which]);
  Node& node = *nodes_[fault.node];
  const Duration length = milliseconds{fault.length};
  switch (fault.kind) {
    case Fault::Kind::PowerLoss:
      node.crash();
      excuse(fault.node, length);  // who has just booted and starts is not heard yet
      return world_.after(length, [&node] { node.boot(); });
    case Fault::Kind::RestartDaemon:
      excuse(fault.node, Duration{});
      return node.restart_daemon();
    case Fault::Kind::PauseDaemon:
      excuse(fault.node, length);
      return node.pause_daemon(length);
    case Fault::Kind::CutLan: return cut_lan(fault.node, fault.which, length);
    case Fault::Kind::CutAll: return cut_all(fault.node, length);
    case Fault::Kind::Part:
      ++links_[fault.node].parted;
      world_.after(length, [this, fault] { --links_[fault.node].parted; });
      return cut_all(fault.node, length);
    case Fault::Kind::Lossy:
      ++links_[fault.node].lossy;
      excuse(fault.node, length);
      return world_.after(length, [this, fault] { --links_[fault.node].lossy; });
    case Fault::Kind::ClockJump: return node.jump_clock(milliseconds{(fault.length - 6000) * 100});
    case Fault::Kind::DiskFull:
      node.fill_disk(true);
      return world_.after(length, [&node] { node.fill_disk(false); });
    case Fault::Kind::PauseNode:
      excuse(fault.node, length);
      return node.pause(length);
    case Fault::Kind::MuteNode: return mute(fault.node, length);
    case Fault::Kind::CutWitness:
      ++links_[fault.node].witness;
      return world_.after(length, [this, fault] { --links_[fault.node].witness; });
    case Fault::Kind::WitnessDown:
      ++witness_down_;
      return world_.after(length, [this] { --witness_down_; });
    default: return;  // of a module
  }
}

void Cluster::inflict_on_module(const Fault& fault, Service& service) {
  Node& node = at(service, fault.node);
  switch (fault.kind) {
    case Fault::Kind::KillReplica: return node.kill_replica(service.name);
    case Fault::Kind::PauseReplica:
      excuse(service.pair[fault.node], milliseconds{fault.length});
      return node.pause_replica(service.name, milliseconds{fault.length});
    case Fault::Kind::CutStream:
      ++service.stream_cut;
      lose_stream(service);
      return world_.after(milliseconds{fault.length}, [&service] { --service.stream_cut; });
    case Fault::Kind::Apply:
      return node.apply(service.name, module_spec(service.name, service.pair, to_string(service.address), ++service.revision, plan_.witness));
    default: return node.command(service.name, verb_of(fault.kind));
  }
}

void Cluster::advance(Duration by) {
  const std::int64_t end = world_.now() + by.count();
  while (world_.now() < end && broken_.empty()) {
    world_.run_until(std::min(end, world_.now() + Duration{milliseconds{20}}.count()), {});
    check();
  }
}

bool Cluster::is_pair(const Service& service) const {
  const auto is = [&](std::size_t side, Role role) {
    const auto* seen = at(service, side).status(service.name);
    return seen != nullptr && seen->role.role == role && seen->role.readiness == Readiness::Ready;
  };
  return (is(0, Role::Prim) && is(1, Role::Second)) || (is(1, Role::Prim) && is(0, Role::Second));
}

bool Cluster::is_settled(const Service& service) const { return is_pair(service) && service.count > service.count_at_healing; }

bool Cluster::waits_for_a_person(const Service& service) const {
  bool good = false;
  bool wait = true;
  for (std::size_t side = 0; side < 2; ++side) {
    const auto* seen = at(service, side).status(service.name);
    const Copy& copy = at(service, side).copy(service.name);
    wait = wait && seen != nullptr && seen->role.role == Role::Wait && seen->role.readiness == Readiness::NotReady;
    good = good || (!copy.inconsistent && (service.split ? copy.up_to_date : has_everything(service, copy)));
  }
  return wait && !good;
}

/// The exchange has brought one revision to both nodes, or both know of the conflict.
bool Cluster::agrees(const Service& service) const {
  const store::ObjectKey key{store::Kind::Module, service.name};
  const auto* const one = at(service, 0).store();
  const auto* const two = at(service, 1).store();
  if (one == nullptr || two == nullptr) return false;
  return one->get(key)->digest == two->get(key)->digest || (!one->conflicts(key).empty() && !two->conflicts(key).empty());
}

void Cluster::start_stopped() {
  for (const Service& service : services_) {
    for (std::size_t side = 0; side < 2; ++side) {
      const auto* seen = at(service, side).status(service.name);
      if (seen != nullptr && seen->role.role == Role::Stop) at(service, side).command(service.name, "start");
    }
  }
}

/// Every fault is over; modules that are stopped are started again, as a person would.
void Cluster::settle() {
  const std::int64_t end = world_.now() + kSettleLimit.count();
  const std::int64_t agree_end = world_.now() + kAgreeLimit.count();
  std::int64_t next_start = world_.now();
  for (Service& service : services_) service.count_at_healing = service.count;
  const auto is_good = [&](const Service& service) {
    return is_settled(service) || (world_.now() >= end && waits_for_a_person(service));
  };
  const auto agree = [&](const Service& service) { return agrees(service); };
  while (broken_.empty() && !(std::ranges::all_of(services_, is_good) && std::ranges::all_of(services_, agree))) {
    if (world_.now() >= agree_end) {
      if (const auto not_equal = std::ranges::find_if_not(services_, agree); not_equal != services_.end()) {
        return fail(*not_equal, "the nodes have different revisions, and do not say so");
      }
    }
    if (world_.now() >= end) {
      if (const auto bad = std::ranges::find_if_not(services_, is_good); bad != services_.end()) {
        return fail(*bad, "the healed cluster does not come back");
      }
    }
    if (world_.now() >= next_start) {
      next_start = world_.now() + Duration{seconds{5}}.count();
      start_stopped();
    }
    advance(milliseconds{500});
  }
}

void Cluster::stop_all() {
  const auto stopped = [&](const Service& service) {
    for (std::size_t side = 0; side < 2; ++side) {
      const auto* seen = at(service, side).status(service.name);
      if (seen == nullptr || seen->role.role != Role::Stop) return false;
    }
    return true;
  };
  for (const Service& service : services_) {
    for (std::size_t side = 0; side < 2; ++side) at(service, side).command(service.name, "stop");
  }
  const std::int64_t end = world_.now() + kStopLimit.count();
  while (broken_.empty() && !std::ranges::all_of(services_, stopped)) {
    if (world_.now() >= end) return fail(*std::ranges::find_if_not(services_, stopped), "a stop does not end");
    advance(milliseconds{500});
  }
}

Outcome Cluster::run() {
  for (std::uint32_t number = 0; number < plan_.nodes; ++number) {
    nodes_[number]->boot();
    excuse(number, Duration{});
  }
  advance(milliseconds{200});
  start_stopped();
  advance(kBeforeFaults);
  std::int64_t over = 0;
  for (const Fault& fault : plan_.faults) {
    world_.after(milliseconds{fault.at}, [this, fault] { inflict(fault); });
    over = std::max(over, fault.at + fault.length);
  }
  advance(milliseconds{over} + kAfterFaults);
  for (const auto& node : nodes_) node->boot();
  settle();
  if (broken_.empty()) stop_all();
  std::uint64_t count = 0;
  for (const Service& service : services_) count += service.count;
  return {.broken = broken_, .digest = world_.digest(), .events = world_.events(), .simulated = world_.now(),
          .acknowledged = count, .lines = world_.lines()};
}

Outcome run(const RunPlan& plan, bool keep_lines) { return Cluster{plan, keep_lines}.run(); }

RunPlan minimised(RunPlan plan) {
  for (bool goes_on = true; goes_on;) {
    goes_on = false;
    for (RunPlan& less : smaller(plan)) {
      if (run(less, false).broken.empty()) continue;
      plan = std::move(less);
      goes_on = true;
      break;
    }
  }
  return plan;
}

}  // namespace safekit::sim
