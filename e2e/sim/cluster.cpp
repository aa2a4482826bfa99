#include "e2e/sim/cluster.h"

#include <algorithm>

#include <fmt/format.h>

namespace safekit::sim {
namespace {

using status::Readiness;
using status::Role;

constexpr const char* kModule = "db";
constexpr const char* kAddress = "10.0.0.9";
constexpr Duration kFaultTime = seconds{40};
constexpr Duration kSettleLimit = seconds{240};
constexpr Duration kStopLimit = seconds{120};
constexpr Duration kAfterwards = seconds{12};  ///< a time-out and the withheld heartbeats of a new safekitd, and more
constexpr const char* kCluster =
    R"({"apiVersion":"safekit/v1","kind":"Cluster","metadata":{"name":"cluster"},"spec":{"lans":[)"
    R"({"name":"net0","nodes":[{"name":"a","address":"10.0.0.1"},{"name":"b","address":"10.0.0.2"}]},)"
    R"({"name":"net1","nodes":[{"name":"a","address":"10.0.1.1"},{"name":"b","address":"10.0.1.2"}]}]}})";
constexpr const char* kSpec =
    R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror","nodes":["a","b"],)"
    R"("heartbeats":{"lans":["net0","net1"]},"replication":{"directories":["/data"]},"virtualIPs":["10.0.0.9"],)"
    R"("scripts":{"files":{"start_prim":"#!/bin/sh\n","stop_prim":"#!/bin/sh\n"}}}})";

constexpr std::array<std::string_view, kFaultKinds> kNames{"power-loss", "kill-replica", "restart-safekitd", "pause-safekitd", "cut-stream",
                                                           "cut-lan", "cut-all", "lossy", "clock-jump", "disk-full", "start", "stop",
                                                           "swap", "restart", "stopstart"};
constexpr std::array<std::string_view, kFaultKinds> kVerbs{"", "", "", "", "", "", "", "", "", "", "start", "stop", "swap", "restart", "stopstart"};

}  // namespace

std::string to_string(const Fault& fault) {
  return fmt::format("{:7} ms {} node {} for {} ms", fault.at, kNames[static_cast<std::size_t>(fault.kind)], fault.node, fault.length);
}

RunPlan plan_of(std::uint64_t seed, Defect defect) {
  std::mt19937_64 random{seed * 0x9e3779b97f4a7c15ULL + 1};
  RunPlan plan{.seed = seed, .defect = defect};
  std::vector<Fault::Kind> kinds;
  const std::size_t kinds_count = 1 + random() % 5;
  for (std::size_t i = 0; i < kinds_count; ++i) {
    const auto kind = static_cast<Fault::Kind>(random() % kFaultKinds);
    // What excuses much is rare.
    const bool rare = kind == Fault::Kind::CutAll || kind == Fault::Kind::PauseDaemon;
    kinds.push_back(rare && random() % 4 != 0 ? Fault::Kind::PowerLoss : kind);
  }
  const std::size_t count = 1 + random() % 8;
  for (std::size_t i = 0; i < count; ++i) {
    const auto limit = static_cast<std::uint64_t>(kFaultTime.count() / 1'000'000);
    plan.faults.push_back({.kind = kinds[random() % kinds.size()],
                           .node = static_cast<std::uint32_t>(random() % 2),
                           .at = static_cast<std::int64_t>(random() % limit),
                           .length = static_cast<std::int64_t>(20 + random() % (random() % 2 == 0 ? 800 : 12'000))});
  }
  std::ranges::sort(plan.faults, {}, &Fault::at);
  return plan;
}

Cluster::Cluster(const RunPlan& plan, bool keep_lines) : plan_(plan), world_(plan.seed) {
  world_.keep_lines(keep_lines);
  const Module module{.name = kModule, .spec = kSpec, .address = parse_ip(kAddress).value()};
  for (const char* name : {"a", "b"}) {
    const NodeName from{name};
    nodes_.push_back(std::make_unique<Node>(Node::Ports{
        .world = world_,
        .name = from,
        .cluster = kCluster,
        .modules = {module},
        .defect = plan.defect,
        .drift_ppm = static_cast<std::int64_t>(world_.below(401)) - 200,
        .carry = [this, from](const NodeName& to, const SimHeartbeats::Datagram& datagram) { carry(from, to, datagram); },
        .peer_replica = [this](const Node& node, const std::string& which) -> Replica* {
          if (stream_cut_ > 0 || !node.is_up() || !other(node).is_up()) return nullptr;
          return other(node).replica(which);
        },
        .next_write = [this] { return ++last_write_; },
        .acknowledged = [this](const Node& node, const std::string&, std::uint32_t number) { acknowledged(node, number); },
        .promoting = [this](const Node& node, const std::string&, bool) { promoting(node); },
        .address_elsewhere = [this](const Node& node, const IpAddress& address) {
          return nodes_.size() == 2 && other(node).is_up() && lan_cut_[0] == 0 && other(node).has_address(address);
        }}));
  }
}

void Cluster::fail(std::string what) {
  if (!broken_.empty()) return;
  broken_ = std::move(what);
  world_.note("cluster", "BROKEN: " + broken_ + text());
}

std::string Cluster::text() const {
  std::string out = fmt::format(" (split {:d}, {} acknowledged)", split_, acknowledged_.size());
  for (const auto& node : nodes_) {
    const Copy& copy = node->copy(kModule);
    out += fmt::format("\n      {} {}", node->name().str(), node->is_up() ? "up" : "down");
    if (const auto* seen = node->status(kModule)) {
      out += fmt::format(" {} {} '{}' {}", to_string(seen->role.role), to_string(seen->role.readiness), seen->role.waiting_for, seen->role.reason);
    }
    out += fmt::format(" copy uptodate {:d} inconsistent {:d} ever {:d} writes {} synced {} complete {:d}", copy.up_to_date, copy.inconsistent,
                       copy.ever, copy.content.size(), copy.synced, has_everything(copy));
    if (const Replica* replica = node->replica(kModule)) {
      out += fmt::format(" replica primary {:d} acknowledges {:d} waits {:d}", replica->is_primary(), replica->may_acknowledge(),
                         replica->is_waiting());
    }
  }
  return out;
}

void Cluster::carry(const NodeName& from, const NodeName& to, const SimHeartbeats::Datagram& datagram) {
  const std::size_t lan = datagram.lan.str() == "net0" ? 0 : 1;
  if (lan_cut_[lan] > 0 || world_.chance(lossy_ > 0 ? 40 : 1)) return;
  const Node& sender = *nodes_[from.str() == "a" ? 0 : 1];
  Node& receiver = *nodes_[to.str() == "a" ? 0 : 1];
  if (!sender.is_up()) return;
  const int copies = world_.chance(1) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const bool late = world_.chance(2) || (plan_.defect == Defect::OldHeartbeat && world_.chance(10));
    const Duration delay = late ? world_.between(milliseconds{1}, milliseconds{400}) : world_.between(microseconds{80}, milliseconds{2});
    world_.after(delay, [&receiver, datagram] {
      if (receiver.is_up() && receiver.heartbeats() != nullptr) receiver.heartbeats()->arrived(datagram);
    });
  }
}

void Cluster::cut_stream(bool cut) {
  stream_cut_ += cut ? 1 : -1;
  if (!cut) return;
  for (const auto& node : nodes_) {
    if (Replica* const replica = node->replica(kModule)) replica->lose_stream();
  }
}

bool Cluster::has_everything(const Copy& copy) const { return std::ranges::includes(copy.content, acknowledged_); }

void Cluster::acknowledged(const Node& node, std::uint32_t number) {
  ++acknowledged_count_;
  if (split_) return;
  const Copy& copy = node.copy(kModule);
  if (!acknowledged_.empty() && !std::ranges::binary_search(copy.content, acknowledged_.back())) {
    return fail(fmt::format("node {} acknowledged a write and lacks one that was acknowledged before", node.name().str()));
  }
  const Replica* const there = other(node).replica(kModule);
  if (there != nullptr && there->may_acknowledge()) return fail("two nodes acknowledge writes at once");
  acknowledged_.push_back(number);
}

void Cluster::promoting(const Node& node) {
  look_for_split();
  if (!split_ && !has_everything(node.copy(kModule))) {
    fail(fmt::format("node {} was promoted with a copy that lacks an acknowledged write", node.name().str()));
  }
}

/// One of them serves, and the other one has all that it has.
void Cluster::end_split() {
  if (!split_ || excused() || !is_pair()) return;
  split_ = false;
  // What the other side alone had is set aside by now.
  std::vector<std::uint32_t> kept;
  const auto& one = nodes_[0]->copy(kModule).content;
  const auto& two = nodes_[1]->copy(kModule).content;
  std::ranges::set_intersection(one, two, std::back_inserter(kept));
  acknowledged_ = std::move(kept);
}

void Cluster::excuse(Duration how_long) { excused_until_ = std::max(excused_until_, world_.now() + (how_long + kAfterwards).count()); }

void Cluster::look_for_split() {
  if (!nodes_[0]->is_up() || !nodes_[1]->is_up()) return;
  for (const auto& node : nodes_) {
    const auto* seen = node->status(kModule);
    const auto* theirs = other(*node).status(kModule);
    if (seen == nullptr || theirs == nullptr || seen->peer.heard || !seen->peer.silence_known || seen->replication.connected) continue;
    if (theirs->role.role == Role::Stop || theirs->role.role == Role::Wait) continue;
    if (excused()) split_ = true;
    else fail(fmt::format("node {} takes its living peer for dead", node->name().str()));
  }
}

void Cluster::check() {
  look_for_split();
  end_split();
  const IpAddress address = parse_ip(kAddress).value();
  const bool both = !split_ && !excused() &&
                    std::ranges::all_of(nodes_, [&](const auto& node) { return node->is_up() && node->has_address(address); });
  if (!both) both_addresses_since_ = -1;
  else if (both_addresses_since_ < 0) both_addresses_since_ = world_.now();
  else if (Duration{world_.now() - both_addresses_since_} > seconds{10}) fail("both nodes have the virtual address");
}

void Cluster::inflict(const Fault& fault) {
  Node& node = *nodes_[fault.node];
  const Duration length = milliseconds{fault.length};
  const auto later = [&](std::function<void()> task) { world_.after(length, std::move(task)); };
  world_.note("cluster", to_string(fault));
  switch (fault.kind) {
    case Fault::Kind::PowerLoss:
      node.crash();
      excuse(length);  // who has just booted and starts is not heard yet
      return later([&node] { node.boot(); });
    case Fault::Kind::KillReplica: return node.kill_replica(kModule);
    case Fault::Kind::RestartDaemon:
      excuse(Duration{});
      return node.restart_daemon();
    case Fault::Kind::PauseDaemon:
      excuse(length);
      return node.pause_daemon(length);
    case Fault::Kind::CutStream:
      cut_stream(true);
      return later([this] { cut_stream(false); });
    case Fault::Kind::CutLan:
      ++lan_cut_[fault.node];
      if (lan_cut_[1 - fault.node] > 0) excuse(length);
      return later([this, lan = fault.node] { --lan_cut_[lan]; });
    case Fault::Kind::CutAll:
      excuse(length);
      for (int& lan : lan_cut_) ++lan;
      cut_stream(true);
      return later([this] {
        for (int& lan : lan_cut_) --lan;
        cut_stream(false);
      });
    case Fault::Kind::Lossy:
      ++lossy_;
      excuse(length);
      return later([this] { --lossy_; });
    case Fault::Kind::ClockJump: return node.jump_clock(milliseconds{(fault.length - 6000) * 100});
    case Fault::Kind::DiskFull:
      node.fill_disk(true);
      return later([&node] { node.fill_disk(false); });
    case Fault::Kind::Start:
    case Fault::Kind::Stop:
    case Fault::Kind::Swap:
    case Fault::Kind::Restart:
    case Fault::Kind::StopStart: return node.command(kModule, std::string{kVerbs[static_cast<std::size_t>(fault.kind)]});
  }
}

void Cluster::advance(Duration by) {
  const std::int64_t end = world_.now() + by.count();
  while (world_.now() < end && broken_.empty()) {
    world_.run_until(std::min(end, world_.now() + Duration{milliseconds{20}}.count()), {});
    check();
  }
}

bool Cluster::is_pair() const {
  const auto is = [](const status::Module* seen, Role role) {
    return seen != nullptr && seen->role.role == role && seen->role.readiness == Readiness::Ready;
  };
  const auto* a = nodes_[0]->status(kModule);
  const auto* b = nodes_[1]->status(kModule);
  return (is(a, Role::Prim) && is(b, Role::Second)) || (is(b, Role::Prim) && is(a, Role::Second));
}

/// Every fault is over; modules that are stopped are started again, as a person would.
void Cluster::settle() {
  const std::int64_t end = world_.now() + kSettleLimit.count();
  std::int64_t next_start = world_.now();
  const std::uint64_t before = acknowledged_count_;
  while (broken_.empty() && !(is_pair() && acknowledged_count_ > before)) {
    if (world_.now() >= end) {
      const auto waits = [&](const auto& node) {
        const auto* seen = node->status(kModule);
        return seen != nullptr && seen->role.role == Role::Wait && seen->role.readiness == Readiness::NotReady;
      };
      const bool good = std::ranges::any_of(nodes_, [&](const auto& node) {
        return !node->copy(kModule).inconsistent && (split_ ? node->copy(kModule).up_to_date : has_everything(node->copy(kModule)));
      });
      if (!std::ranges::all_of(nodes_, waits) || good) fail("the healed cluster does not come back");
      return;
    }
    if (world_.now() >= next_start) {
      next_start = world_.now() + Duration{seconds{5}}.count();
      for (const auto& node : nodes_) {
        const auto* seen = node->status(kModule);
        if (seen != nullptr && seen->role.role == Role::Stop) node->command(kModule, "start");
      }
    }
    advance(milliseconds{500});
  }
}

void Cluster::stop_all() {
  for (const auto& node : nodes_) node->command(kModule, "stop");
  const std::int64_t end = world_.now() + kStopLimit.count();
  const auto stopped = [&] {
    return std::ranges::all_of(nodes_, [&](const auto& node) { return node->status(kModule)->role.role == Role::Stop; });
  };
  while (broken_.empty() && !stopped()) {
    if (world_.now() >= end) return fail("a stop does not end");
    advance(milliseconds{500});
  }
}

Outcome Cluster::run() {
  for (const auto& node : nodes_) node->boot();
  excuse(Duration{});
  advance(milliseconds{200});
  for (const auto& node : nodes_) node->command(kModule, "start");
  advance(seconds{5});
  for (const Fault& fault : plan_.faults) {
    if (!broken_.empty()) break;
    world_.after(milliseconds{fault.at}, [this, fault] { inflict(fault); });
  }
  advance(kFaultTime + seconds{13});  // the longest fault is over by then
  for (const auto& node : nodes_) node->boot();
  settle();
  if (broken_.empty()) stop_all();
  return {.broken = broken_, .digest = world_.digest(), .events = world_.events(), .simulated = world_.now(),
          .acknowledged = acknowledged_count_, .lines = world_.lines()};
}

Outcome run(const RunPlan& plan, bool keep_lines) { return Cluster{plan, keep_lines}.run(); }

RunPlan minimised(RunPlan plan) {
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::size_t i = 0; i < plan.faults.size(); ++i) {
      RunPlan less = plan;
      less.faults.erase(less.faults.begin() + static_cast<std::ptrdiff_t>(i));
      if (run(less, false).broken.empty()) continue;
      plan = std::move(less);
      smaller = true;
      break;
    }
  }
  return plan;
}

}  // namespace safekit::sim
