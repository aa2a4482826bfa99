// What can happen in which state.
#include <algorithm>

#include "e2e/model/world.h"

namespace safekit::model {
namespace {

using OrderRole = status::ReplicaOrder::Role;

}  // namespace

bool World::stream_possible(const State& state, int primary) const {
  const Side& one = state.sides[primary];
  const Side& other = state.sides[1 - primary];
  if (has(state, kStreamCut) || !has(one, kUp) || !has(other, kUp) || !has(one, kRuns) || !has(other, kRuns) || has(one, kRefused)) return false;
  const status::ReplicaOrder& taken = orders_[other.taken];
  return orders_[one.taken].role == OrderRole::Primary && taken.role == OrderRole::Secondary && !taken.mark_out_of_date;
}

bool World::network_enabled(const State& state, Action action) {
  const int i = action.node;
  const Side& side = state.sides[i];
  const Side& other = state.sides[1 - i];
  const bool said = has(other, kUp) && !has(state, kHeartbeatsCut);
  switch (action.kind) {
    case Kind::Send: return options_.late_heartbeats && has(side, kUp) && said && said_by(state, 1 - i) && *said_by(state, 1 - i) != side.flying;
    case Kind::Hear:
      if (!has(side, kUp)) return false;
      if (options_.late_heartbeats) return side.flying != 0;
      return said && said_by(state, 1 - i) && *said_by(state, 1 - i) != side.heard;
    case Kind::Silence:
      return has(side, kUp) && (!has(other, kUp) || has(state, kHeartbeatsCut)) && side.flying == 0 && silence_of(side.heard) != side.heard;
    case Kind::Connect: return stream_possible(state, i) && !has(state, kConnected);
    case Kind::ConnectSame:
      return stream_possible(state, i) && !has(state, kConnected) && side.generation == other.generation && side.data == other.data;
    case Kind::EndSync:
      return stream_possible(state, i) && has(state, kConnected) && !has(side, kSynchronised) && !has(other, kSynchronised);
    case Kind::LearnEnd:
      return stream_possible(state, i) && has(state, kConnected) && !has(side, kSynchronised) && has(other, kSynchronised);
    case Kind::Verified:
      return stream_possible(state, i) && has(state, kConnected) && has(side, kSynchronised) && has(other, kUnverified);
    default: return false;
  }
}

bool World::system_enabled(const State& state, Action action) {
  const int i = action.node;
  const Side& side = state.sides[i];
  const Remembered& now = memories_[side.memory];
  const auto& section = now.value.section;
  if (!has(side, kUp)) return false;
  switch (action.kind) {
    case Kind::EndScript:
      // The application ends when its last fsync has returned.
      return section.script && !has(side, kScriptEnded) && !(now.stops_application && has(side, kWaiting));
    case Kind::TakeOrder: {
      const bool runs = has(side, kRuns);
      if (section.replica.role == OrderRole::None) return runs || has(side, kDied);
      if (!runs && has(side, kDied) && section.replica.role != OrderRole::Idle) return false;
      return !runs || orders_[side.taken] != section.replica;
    }
    case Kind::Write: return may_acknowledge(state, i);
    case Kind::TimePasses: {
      if (now.stops_application && section.script->time_limit.count() != 0 && has(side, kWaiting) && !has(side, kScriptEnded)) return true;
      const bool primary = section.replica.role == OrderRole::Primary && !has(state, kConnected);
      return primary && (!has(side, kLate) || (!has(side, kDoubtLate) && now.value.doubted != WallTime{}));
    }
    case Kind::FindReplica: return has(side, kBlind);
    default: return false;
  }
}

bool World::disturbance_enabled(const State& state, Action action) const {
  const Side& side = state.sides[action.node];
  if (is_command(action.kind)) {
    if (state.commands == 0 || !has(side, kUp)) return false;
    const bool started = memories_[side.memory].value.started;
    const bool starts = action.kind == Kind::Start || action.kind == Kind::Prim || action.kind == Kind::PrimForce ||
                        action.kind == Kind::Second;
    return starts != started;  // refused otherwise
  }
  if (is_counted(action.kind) && state.faults == 0) return false;
  const bool first = action.node == 0;
  switch (action.kind) {
    case Kind::Crash: return has(side, kUp);
    case Kind::Boot: return !has(side, kUp);
    case Kind::RestartDaemon: return has(side, kUp) && !has(side, kBlind);
    case Kind::KillReplica: return has(side, kUp) && has(side, kRuns);
    case Kind::CutStream: return first && options_.cuts != Options::Cuts::None && !has(state, kStreamCut);
    case Kind::CutHeartbeats: return first && options_.cuts == Options::Cuts::All && !has(state, kHeartbeatsCut);
    case Kind::CutWitness: return options_.witness && !has(state, action.node, kWitnessCut);
    case Kind::HealWitness: return has(state, action.node, kWitnessCut);
    case Kind::HealStream: return first && has(state, kStreamCut);
    case Kind::HealHeartbeats: return first && has(state, kHeartbeatsCut);
    default: return false;
  }
}

bool World::is_enabled(const State& state, Action action) {
  if (is_fault(action.kind) || is_command(action.kind)) {
    return std::ranges::find(options_.without, action.kind) == options_.without.end() && disturbance_enabled(state, action);
  }
  return network_enabled(state, action) || witness_enabled(state, action) || system_enabled(state, action);
}

void World::actions(const State& state, std::vector<Action>& out) {
  out.clear();
  for (std::uint8_t kind = 0; kind <= static_cast<std::uint8_t>(kKindLast); ++kind) {
    for (const std::uint8_t node : {std::uint8_t{0}, std::uint8_t{1}}) {
      const Action action{static_cast<Kind>(kind), node};
      if (is_enabled(state, action)) out.push_back(action);
    }
  }
}

}  // namespace safekit::model
