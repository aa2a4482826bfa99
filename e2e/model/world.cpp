// What can happen to two nodes, and what it does to them.
#include "e2e/model/world.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace safekit::model {
namespace {

using OrderRole = status::ReplicaOrder::Role;
using status::Readiness;
using status::Role;

constexpr std::uint16_t kReplicaFlags = kRuns | kSynchronised | kUnverified | kWaiting | kMirroring | kGranted | kNoted | kRefused;

}  // namespace

State World::initial() {
  State state;
  for (Side& side : state.sides) {
    side.flags = kUp;
    side.memory = number_of(role::Memory{});
  }
  state.faults = options_.faults;
  state.commands = options_.commands;
  canonise(state);
  return state;
}

bool World::is(const State& state, int node, Role role) const {
  const auto& section = memory(state, node).section;
  const Readiness wanted = role == Role::Stop ? Readiness::NotReady : Readiness::Ready;
  return has(state.sides[node], kUp) && section.role == role && section.readiness == wanted;
}

bool World::is_pair(const State& state) const {
  return (is(state, 0, Role::Prim) && is(state, 1, Role::Second)) || (is(state, 1, Role::Prim) && is(state, 0, Role::Second));
}

bool World::has_good_copy(const State& state) const {
  return std::ranges::any_of(state.sides, [&](const Side& side) {
    if (has(side, kInconsistent)) return false;
    return has(state, kSplit) ? has(side, kUpToDate) : side.data == state.acknowledged;
  });
}

bool World::is_mirrored(const State& state, int node) const {
  return has(state, kConnected) && has(state.sides[node], kMirroring);
}

bool World::may_acknowledge(const State& state, int node) const {
  const Side& side = state.sides[node];
  const bool primary = has(side, kUp) && has(side, kRuns) && !has(side, kRefused) && orders_[side.taken].role == OrderRole::Primary;
  if (!primary) return false;
  if (is_mirrored(state, node)) return true;
  const bool by_lease = orders_[side.taken].by_lease;
  return has(side, kGranted) && !has(side, kWaiting) && (!by_lease || has(state, node, kBelieved));
}

void World::drop_stream(State& state) {
  if (!has(state, kConnected)) return;
  set(state, kConnected, false);
  for (Side& side : state.sides) {
    const bool primary = orders_[side.taken].role == OrderRole::Primary && has(side, kRuns);
    if (primary && has(side, kMirroring)) set(side, kWaiting, true);
    set(side, kSynchronised, false);
  }
}

void World::end_replica(Side& side) {
  side.flags = static_cast<std::uint16_t>(side.flags & ~kReplicaFlags);
  side.taken = 0;
}

/// The contract of control::Want.
void World::take_order(State& state, int node) {
  Side& side = state.sides[node];
  const role::Memory& told = memory(state, node);
  const status::ReplicaOrder wanted = told.section.replica;
  if (wanted.role == OrderRole::None) {
    drop_stream(state);
    end_replica(side);
    set(side, kDied, false);
    return;
  }
  if (!has(side, kRuns)) {
    set(side, kRuns, true);
    set(side, kDied, false);
    side.taken = 0;
  }
  const status::ReplicaOrder before = orders_[side.taken];
  const bool role_changes = before.role != wanted.role;
  const bool by_person = told.intent == role::Intent::Prim || told.intent == role::Intent::PrimForce;
  if (role_changes || wanted.mark_out_of_date) drop_stream(state);
  if (wanted.mark_out_of_date) set(side, kUpToDate, false);
  if (wanted.force_up_to_date) {
    side.marks |= kUpToDate | kEver;
    set(side, kInconsistent, false);
  }
  if (role_changes) {
    for (const Flag flag : {kWaiting, kMirroring, kSynchronised, kGranted, kRefused, kUnverified}) set(side, flag, false);
    if (wanted.role == OrderRole::Primary) promote(state, node, wanted.force_up_to_date && by_person);
  }
  // A permission is for a peer that is lost; while the stream lives there is none.
  const bool now = wanted.pairing == 0 || wanted.pairing == side.pairing;
  if (wanted.may_be_alone && now && !is_mirrored(state, node) && (role_changes || !before.may_be_alone)) {
    set(side, kGranted, true);
    set(side, kWaiting, false);
    set(side, kMirroring, false);
  }
  side.taken = number_of(wanted);
}

void World::promote(State& state, int node, bool forced_by_person) {
  Side& side = state.sides[node];
  set(side, kRefused, has(side, kInconsistent) || (!has(side, kUpToDate) && has(side, kEver)));
  if (has(side, kRefused)) return;
  if (forced_by_person) set(state, kSplit, true);
  if (!has(state, kSplit) && side.data != state.acknowledged) {
    broken_ = "a copy that lacks an acknowledged write was promoted, and no person had asked for it";
  }
  side.marks |= kUpToDate | kLastPrimary;
  if (side.generation == 0) side.generation = 200;
  set(side, kNoted, false);
  side.pairing = 200;
  set(side, kMirroring, !memory(state, node).section.replica.may_be_alone);
}

void World::move_stream(State& state, Action action) {
  Side& primary = state.sides[action.node];
  Side& second = state.sides[1 - action.node];
  switch (action.kind) {
    case Kind::Connect:
      set(state, kConnected, true);
      set(second, kUpToDate, false);
      set(second, kInconsistent, true);
      set(second, kUnverified, false);
      // The primary waited for the peer's answer: it has noted that it is out of date, and nothing is lost by going on.
      if (has(primary, kWaiting) || has(primary, kMirroring)) set(primary, kGranted, true);
      set(primary, kWaiting, false);
      set(primary, kMirroring, false);
      return;
    case Kind::ConnectSame: set(state, kConnected, true); [[fallthrough]];
    case Kind::EndSync:
      // From here on the primary acknowledges nothing without the peer.
      for (const Flag flag : {kGranted, kWaiting, kNoted}) set(primary, flag, false);
      set(primary, kMirroring, true);
      primary.pairing = 201;
      second.marks = kUpToDate | kEver;
      second.generation = primary.generation;
      second.data = primary.data;
      set(second, kSynchronised, true);
      set(second, kUnverified, true);
      return;
    case Kind::LearnEnd:
      set(primary, kEver, true);
      set(primary, kSynchronised, true);
      return;
    default: set(second, kUnverified, false);
  }
}

void World::write(State& state, int node) {
  Side& side = state.sides[node];
  const bool mirrored = is_mirrored(state, node);
  if (!mirrored && !has(side, kNoted)) {
    set(side, kNoted, true);
    side.generation = 202;
  }
  if (has(state, kSplit)) return;
  if (side.data != state.acknowledged) broken_ = "a node acknowledged a write, and lacks one that was acknowledged before";
  side.data = ++state.acknowledged;
  if (mirrored) state.sides[1 - node].data = side.data;
}

void World::crash(State& state, int node) {
  Side& side = state.sides[node];
  const role::Memory& before = memory(state, node);
  side.memory = number_of(role::after_boot(before, before.section.paired));
  drop_stream(state);
  end_replica(side);
  side.flags = 0;
  side.heard = side.flying = 0;
  state.leases[node] &= kWitnessCut;
}

void World::kill_replica(State& state, int node) {
  Side& side = state.sides[node];
  drop_stream(state);
  const OrderRole role = orders_[side.taken].role;
  set(side, kDied, role == OrderRole::Primary || role == OrderRole::Secondary);
  end_replica(side);
}

World::Stepped World::step(const State& before, Action action) {
  State state = before;
  const int node = action.node;
  Side& side = state.sides[node];
  broken_.clear();
  if (is_counted(action.kind) && state.faults != 255) --state.faults;
  if (is_command(action.kind) && state.commands != 255) --state.commands;
  switch (action.kind) {
    case Kind::Send: side.flying = *said_by(state, 1 - node); break;
    case Kind::Hear:
      side.heard = options_.late_heartbeats ? std::exchange(side.flying, 0) : *said_by(state, 1 - node);
      decide(state, node);
      break;
    case Kind::Silence:
      side.heard = silence_of(side.heard);
      decide(state, node);
      break;
    case Kind::EndScript:
      set(side, kScriptEnded, true);
      decide(state, node);
      break;
    case Kind::TakeOrder: take_order(state, node); break;
    case Kind::Connect:
    case Kind::ConnectSame:
    case Kind::EndSync:
    case Kind::LearnEnd:
    case Kind::Verified: move_stream(state, action); break;
    case Kind::Write: write(state, node); break;
    case Kind::TimePasses:
      set(side, kLate, true);
      if (memory(state, node).doubted != WallTime{}) set(side, kDoubtLate, true);
      // A script is killed at its time limit.
      if (memories_[side.memory].stops_application && memory(state, node).section.script->time_limit.count() != 0) {
        set(side, kScriptEnded, true);
      }
      break;
    case Kind::FindReplica: set(side, kBlind, false); break;
    case Kind::SeeNeed:
    case Kind::Answered:
    case Kind::Unanswered:
    case Kind::Judge:
    case Kind::LeaseEnds:
    case Kind::GiveBack:
    case Kind::CutWitness:
    case Kind::HealWitness: step_witness(state, action); break;
    case Kind::Crash: crash(state, node); break;
    case Kind::Boot: side.flags = kUp; break;
    case Kind::RestartDaemon:
      side.heard = side.flying = 0;
      set(side, kBlind, true);
      state.leases[node] &= kWitnessCut | kBelieved;
      break;
    case Kind::KillReplica: kill_replica(state, node); break;
    case Kind::CutStream:
      drop_stream(state);
      set(state, kStreamCut, true);
      break;
    case Kind::CutHeartbeats: set(state, kHeartbeatsCut, true); break;
    case Kind::HealStream: set(state, kStreamCut, false); break;
    case Kind::HealHeartbeats: set(state, kHeartbeatsCut, false); break;
    case Kind::Start:
    case Kind::Stop:
    case Kind::StopStart:
    case Kind::Swap:
    case Kind::Restart:
    case Kind::Prim:
    case Kind::PrimForce:
    case Kind::Second:
    case Kind::ForceStop: decide(state, node, action.kind); break;
  }
  // Reports of a replica reach the machine at once; that they may be late is in TakeOrder and LearnEnd, which are.
  for (const int each : {0, 1}) {
    if (has(state.sides[each], kUp)) decide(state, each);
  }
  check(state);
  canonise(state);
  return {state, std::move(broken_)};
}

void World::check(State& state) {
  const bool both = has(state.sides[0], kUp) && has(state.sides[1], kUp);
  const bool silent = heard_[state.sides[0].heard].silence_known || heard_[state.sides[1].heard].silence_known;
  // Also where the heartbeats are back and have not been heard yet.
  if (!options_.witness && options_.cuts == Options::Cuts::All && !has(state, kConnected) && both && silent) set(state, kSplit, true);
  if (has(state, kSplit) && !has(state, kHeartbeatsCut) && has(state, kConnected) && is_pair(state)) {
    set(state, kSplit, false);
    const bool first = is(state, 0, Role::Prim);
    state.acknowledged = state.sides[first ? 0 : 1].data;
  }
  if (!has(state, kSplit) && may_acknowledge(state, 0) && may_acknowledge(state, 1)) {
    broken_ = "two nodes acknowledge writes at once";
  }
}

State World::healed(const State& before) {
  State state = before;
  set(state, kStreamCut, false);
  set(state, kHeartbeatsCut, false);
  for (const int i : {0, 1}) {
    if (!has(state.sides[i], kUp)) state.sides[i].flags = kUp;
    set(state, i, kWitnessCut, false);
  }
  state.faults = state.commands = 0;
  return state;
}

std::string World::text(const State& state) const {
  std::string out;
  for (int i = 0; i < 2; ++i) {
    const Side& side = state.sides[i];
    const auto& section = memory(state, i).section;
    const auto& heard = heard_[side.heard];
    const auto flags = [&](std::initializer_list<std::pair<Flag, const char*>> names) {
      std::string text;
      for (const auto& [flag, name] : names) text += has(side, flag) ? fmt::format(" {}", name) : "";
      return text;
    };
    out += fmt::format("  node{} {} {} {}{}{}{} | replica {} alone {:d} mark {:d} asked {} pairing {}{} | copy{}{}{} gen {} data {} | hears {}\n", i,
                       to_string(section.role), to_string(section.readiness), section.waiting_for, section.paired ? " paired" : "",
                       memory(state, i).steps.empty() ? "" : fmt::format(" {} steps", memory(state, i).steps.size()),
                       section.out_of_date_requested ? fmt::format(" asks {}", section.asked_pairing) : "",
                       std::array{"none", "idle", "primary", "secondary"}[static_cast<std::size_t>(orders_[side.taken].role)],
                       section.replica.may_be_alone, section.replica.mark_out_of_date, section.replica.pairing, side.pairing,
                       flags({{kUp, "up"}, {kRuns, "runs"}, {kDied, "died"}, {kGranted, "granted"}, {kWaiting, "waiting"},
                              {kMirroring, "mirroring"}, {kSynchronised, "synchronised"}, {kUnverified, "unverified"},
                              {kRefused, "refused"}, {kBlind, "blind"}, {kLate, "late"}}),
                       has(side, kUpToDate) ? " uptodate" : "", has(side, kInconsistent) ? " inconsistent" : "",
                       has(side, kEver) ? " ever" : "", side.generation, side.data,
                       heard.heard ? fmt::format("{} {}{}{}{}", to_string(heard.role), to_string(heard.readiness), heard.paired ? " paired" : "",
                                                 heard.up_to_date ? " uptodate" : "", heard.out_of_date_requested ? " asks" : "")
                                   : heard.silence_known ? "silence" : "nothing");
    if (options_.witness) out += lease_text(state, i);
  }
  return out + fmt::format("  acknowledged {}{}{}{}{}\n", state.acknowledged, has(state, kConnected) ? " connected" : "",
                           has(state, kStreamCut) ? " stream-cut" : "", has(state, kHeartbeatsCut) ? " heartbeats-cut" : "",
                           has(state, kSplit) ? " split" : "");
}

std::string World::figures() const {
  return fmt::format("{} machine states, {} views of a peer, {} decisions", memories_.size(), heard_.size(), decided_.size());
}

}  // namespace safekit::model
