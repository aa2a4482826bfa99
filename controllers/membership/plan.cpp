#include "controllers/membership/plan.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>

#include "schema/port/interfaces.h"
#include "schema/spec/defaults.h"

namespace safekit::membership {
namespace {

/// What one link tells.
enum class Sound { Undetermined, Up, Down };

struct Judgement {
  Sound sound{Sound::Undetermined};
  std::optional<Duration> changes_after{};
};

/// A link is up while the last heartbeat is younger than the time-out, and down when it has been silent for
/// that long while this node listened.
Judgement judge(const LinkState& link, Duration timeout, MonoTime now) {
  if (link.heard && now < *link.heard + timeout) return {Sound::Up, *link.heard + timeout - now};
  if (!link.listening_since) return {Sound::Undetermined, kListenSoon};
  // Another program has this node's port: it is deaf, and what it does not hear is no loss of the peer.
  if (link.error == EADDRINUSE) return {Sound::Undetermined, kDeafRecheck};
  const MonoTime since = link.heard ? std::max(*link.heard, *link.listening_since) : *link.listening_since;
  if (now < since + timeout) return {Sound::Undetermined, since + timeout - now};
  return {Sound::Down, std::nullopt};
}

void copy_entry(const ModuleEntry& entry, status::PeerSection& peer) {
  peer.module_known = true;
  peer.role = entry.role;
  peer.readiness = entry.readiness;
  peer.up_to_date = entry.up_to_date;
  peer.inconsistent = entry.inconsistent;
  peer.ever_synchronised = entry.ever_synchronised;
  peer.has_data = entry.has_data;
  peer.last_primary = entry.last_primary;
  peer.replicates = entry.replicates;
  peer.paired = entry.paired;
  peer.in_service_hand_over = entry.in_service_hand_over;
  peer.swap_requested = entry.swap_requested;
  peer.out_of_date_requested = entry.out_of_date_requested;
  peer.marked_out_of_date = entry.marked_out_of_date;
  peer.wants_primary = entry.wants_primary;
  peer.came_from_second = entry.came_from_second;
  peer.holds_lease = entry.holds_lease;
  peer.generation = entry.generation;
  peer.resources = entry.resources;
  peer.asked_pairing = entry.asked_pairing;
  peer.answered_pairing = entry.answered_pairing;
}

Duration longest_timeout(const Desired& desired) {
  Duration longest{};
  for (const HeartbeatWish& wish : desired.heartbeats) longest = std::max(longest, wish.timeout);
  return longest;
}

void sooner(std::optional<Duration>& recheck, std::optional<Duration> after) {
  if (after && (!recheck || *after < *recheck)) recheck = after;
}

std::string remote_state(const status::PeerSection& peer) {
  if (!peer.heard) return "UNKNOWN Unknown";
  if (!peer.module_known) return "STOP NotReady";
  return fmt::format("{} {}", to_string(peer.role), to_string(peer.readiness));
}

}  // namespace

Links links_of(const spec::Cluster& cluster, const std::vector<std::shared_ptr<const spec::Module>>& modules,
               const NodeName& node) {
  Links result;
  LinkPlan& plan = result.plan;
  plan.port = cluster.port;
  plan.period = cluster.pulse;
  for (const auto& module : modules) {
    if (!module->heart) continue;
    for (const spec::Heartbeat& heartbeat : module->heart->lans) {
      plan.period = std::min(plan.period, spec::pulse_of(*module->heart, heartbeat));
    }
  }
  for (const spec::Lan& lan : cluster.lans) {
    const spec::NodeAddress* here = spec::find_node(lan, node);
    if (here == nullptr) continue;
    for (const spec::NodeAddress& there : lan.nodes) {
      if (there.name == node) continue;
      const std::string& local = here->local_address.empty() ? here->address : here->local_address;
      bool usable = true;
      for (const std::string& address : {local, there.address}) {
        if (parse_ip(address)) continue;
        usable = false;
        result.problems.push_back(
            fmt::format("no heartbeat to node '{}' on network '{}': '{}' is no IP address; write "
                        "the address in place of the name",
                        there.name.str(), lan.name.str(), address));
      }
      if (!usable) continue;
      plan.links.push_back(
          {.lan = lan.name, .peer = there.name, .local_address = local, .peer_address = there.address});
    }
  }
  std::ranges::sort(plan.links);
  return result;
}

Desired desired_of(const spec::Module& module, const NodeName& node) {
  Desired desired;
  for (const NodeName& other : module.nodes) {
    if (other != node) desired.peer = other;
  }
  if (!module.heart) return desired;
  for (const spec::Heartbeat& heartbeat : module.heart->lans) {
    desired.heartbeats.push_back({.ident = spec::ident_of(*module.heart, heartbeat),
                                  .lan = heartbeat.lan,
                                  .timeout = spec::timeout_of(*module.heart, heartbeat)});
  }
  return desired;
}

Plan decide(const Desired& desired, const Observed& observed, MonoTime now) {
  Plan plan;
  status::PeerSection& peer = plan.peer;
  peer = observed.before;  // what a silent peer said last stays readable; `heard` says that it is old
  peer.name = desired.peer;
  peer.heartbeats.clear();
  peer.heard = false;
  bool all_down = !observed.links.empty();  // who listens nowhere knows nothing
  for (const HeartbeatWish& wish : desired.heartbeats) {
    const auto link = observed.links.find(wish.lan);
    if (link == observed.links.end()) {
      plan.resources["heartbeat." + wish.ident] = "down";
      continue;
    }
    const Judgement judgement = judge(link->second, wish.timeout, now);
    const auto known = observed.before.heartbeats.find(wish.ident);
    if (judgement.sound == Sound::Undetermined) {
      // This node has just begun to listen (again): what was known stands.
      if (known != observed.before.heartbeats.end()) peer.heartbeats.insert(*known);
    } else {
      const bool up = judgement.sound == Sound::Up;
      peer.heartbeats[wish.ident] = up;
      const bool changed = known == observed.before.heartbeats.end() ? !up : known->second != up;
      if (changed) {
        plan.lines.push_back({up ? 'I' : 'E', fmt::format("Resource heartbeat.{} set to {} by heart",
                                                          wish.ident, up ? "up" : "down")});
        if (!up && link->second.error != 0) {
          plan.lines.push_back(
              {'C', fmt::format("heartbeats of network {}: this node's own socket fails: {}", wish.lan.str(),
                                std::generic_category().message(link->second.error))});
        }
      }
      peer.heard = peer.heard || up;
    }
    all_down = all_down && judgement.sound == Sound::Down;
    sooner(plan.recheck_after, judgement.changes_after);
    const auto value = peer.heartbeats.find(wish.ident);
    plan.resources["heartbeat." + wish.ident] = value == peer.heartbeats.end() ? "init"
                                                : value->second                ? "up"
                                                                               : "down";
  }
  // Undetermined after having been heard: still heard, until there is reason to say otherwise.
  if (!peer.heard && !all_down) peer.heard = observed.before.heard;
  if (peer.heard && !observed.payload_seen) peer.heard = false;
  peer.silence_known = !peer.heard && all_down;
  peer.last_heard = MonoTime{};
  for (const auto& [lan, link] : observed.links) {
    if (peer.silence_known && link.heard) peer.last_heard = std::max(peer.last_heard, *link.heard);
  }
  peer.absence_known = peer.silence_known;
  for (const LinkState& link : observed.others) {
    const Judgement judgement = judge(link, longest_timeout(desired), now);
    peer.absence_known = peer.absence_known && judgement.sound == Sound::Down;
    sooner(plan.recheck_after, judgement.changes_after);
  }
  if (peer.heard && observed.entry) {
    copy_entry(*observed.entry, peer);
  } else if (peer.heard) {
    status::PeerSection none;
    none.name = peer.name;
    none.heard = true;
    none.heartbeats = peer.heartbeats;
    peer = none;
  }
  plan.resources["state.remote"] = remote_state(peer);
  const bool first_word = peer.heard || peer.silence_known;
  const bool said = observed.before.heard || observed.before.silence_known;
  if (first_word && (!said || remote_state(peer) != remote_state(observed.before))) {
    plan.lines.push_back({'E', "Remote state " + remote_state(peer)});
  }
  return plan;
}

}  // namespace safekit::membership
