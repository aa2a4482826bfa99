#include "e2e/model/explore.h"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

namespace safekit::model {

bool HashSet::insert(std::uint64_t hash) {
  if (2 * size_ >= slots_.size()) {
    std::vector<std::uint64_t> old(slots_.size() * 2);
    old.swap(slots_);
    size_ = 0;
    for (const std::uint64_t one : old) {
      if (one != 0) (void)insert(one);
    }
  }
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at] != 0 && slots_[at] != hash) at = (at + 1) & (slots_.size() - 1);
  if (slots_[at] == hash) return false;
  slots_[at] = hash;
  ++size_;
  return true;
}

bool HashSet::contains(std::uint64_t hash) const {
  std::size_t at = hash & (slots_.size() - 1);
  while (slots_[at] != 0 && slots_[at] != hash) at = (at + 1) & (slots_.size() - 1);
  return slots_[at] == hash;
}

namespace {

using status::Readiness;
using status::Role;

/// In which order what can happen does.
constexpr std::array kSchedule{Kind::FindReplica, Kind::EndScript, Kind::TakeOrder, Kind::Send,     Kind::Hear,     Kind::Silence,
                               Kind::ConnectSame, Kind::Connect,   Kind::EndSync,   Kind::LearnEnd, Kind::Verified, Kind::Write,
                               Kind::SeeNeed,     Kind::Answered,  Kind::Unanswered, Kind::Judge,   Kind::LeaseEnds, Kind::GiveBack};

/// One way to go on without faults, from state to state, until a goal; what was found to reach it is remembered.
class Settling {
 public:
  struct Way {
    std::string name{};
    std::function<bool(const State&)> reached{};
    std::function<bool(const State&)> may_rest{};        ///< it may end here too, when nothing can happen any more
    std::function<bool(const State&, Action)> happens{}; ///< nothing: all that can
    bool starts{false};                                  ///< modules that are stopped are started again
  };
  Settling(World& world, Way way) : world_(world), way_(std::move(way)) {}

  /// Why not; empty: it is reached.
  std::string reach(const State& from, std::vector<std::string>* trace) {
    std::vector<std::uint64_t> path;
    State state = from;
    for (;;) {
      const std::uint64_t hash = hash_of(state);
      if (good_.contains(hash) || way_.reached(state)) break;
      if (std::ranges::find(path, hash) != path.end()) return fmt::format("{}: goes round for ever", way_.name);
      path.push_back(hash);
      State next = state;
      if (auto broken = round(next, trace); !broken.empty()) return broken;
      if (next == state && !pass_time(next, trace)) {
        if (way_.may_rest && way_.may_rest(state)) break;
        return fmt::format("{}: nothing can happen any more", way_.name);
      }
      state = next;
    }
    for (const std::uint64_t hash : path) (void)good_.insert(hash);
    last_ = state;
    return {};
  }
  /// Where the last way ended.
  [[nodiscard]] const State& last() const { return last_; }
  [[nodiscard]] std::size_t size() const { return good_.size(); }

 private:
  std::string take(State& state, Action action, std::vector<std::string>* trace) {
    auto next = world_.step(state, action);
    if (trace != nullptr && next.state != state) {
      trace->push_back(fmt::format("  node{} {}\n{}", action.node, to_string(action.kind), world_.text(next.state)));
    }
    state = next.state;
    return next.broken.empty() ? std::string{} : fmt::format("{}: {}", way_.name, next.broken);
  }
  std::string round(State& state, std::vector<std::string>* trace) {
    for (const std::uint8_t node : {std::uint8_t{0}, std::uint8_t{1}}) {
      const bool stopped = !world_.memory(state, node).started && has(state.sides[node], kUp);
      if (!way_.starts || !stopped) continue;
      if (auto broken = take(state, {Kind::Start, node}, trace); !broken.empty()) return broken;
    }
    for (const Kind kind : kSchedule) {
      for (const std::uint8_t node : {std::uint8_t{0}, std::uint8_t{1}}) {
        const Action action{kind, node};
        if (!world_.is_enabled(state, action) || (way_.happens && !way_.happens(state, action))) continue;
        if (auto broken = take(state, action, trace); !broken.empty()) return broken;
      }
    }
    return {};
  }
  bool pass_time(State& state, std::vector<std::string>* trace) {
    bool passed = false;
    for (const std::uint8_t node : {std::uint8_t{0}, std::uint8_t{1}}) {
      const Action action{Kind::TimePasses, node};
      if (!world_.is_enabled(state, action)) continue;
      (void)take(state, action, trace);
      passed = true;
    }
    return passed;
  }

  World& world_;
  Way way_;
  HashSet good_{};
  State last_{};
};

bool waits_for_person(const World& world, const State& state, int node) {
  const auto& section = world.memory(state, node).section;
  return section.role == Role::Wait && section.readiness == Readiness::NotReady;
}

class Explorer {
 public:
  Explorer(World& world, const Limits& limits) : world_(world), limits_(limits) {
    ways_.emplace_back(world, Settling::Way{.name = "healed",
                                            .reached = [this](const State& state) { return world_.is_pair(state); },
                                            .may_rest =
                                                [this](const State& state) {
                                                  return waits_for_person(world_, state, 0) && waits_for_person(world_, state, 1) &&
                                                         !world_.has_good_copy(state);
                                                },
                                            .starts = true});
    for (const int node : {0, 1}) {
      const auto reached = [this, node](const State& state) { return world_.is(state, node, Role::Stop); };
      ways_.emplace_back(world, Settling::Way{.name = fmt::format("stop of node{}", node), .reached = reached});
      const auto alone = [this, node](const State& state, Action action) {
        const auto& script = world_.memory(state, node).section.script;
        const bool hangs = action.kind == Kind::EndScript && script->time_limit.count() == 0;
        return action.node == node && !hangs;
      };
      ways_.emplace_back(world, Settling::Way{.name = fmt::format("forcestop of node{}, scripts hang", node), .reached = reached, .happens = alone});
    }
  }

  Found run() {
    State first = world_.initial();
    if (limits_.from_pair) {
      found_.broken = ways_[0].reach(first, nullptr);
      if (!found_.broken.empty()) return std::move(found_);
      first = ways_[0].last();
      first.faults = world_.options().faults;
      first.commands = world_.options().commands;
    }
    add(first, 0, {});
    std::size_t level_end = 1;
    std::vector<Action> actions;
    for (std::size_t at = 0; at < states_.size(); ++at) {
      if (at == level_end) {
        ++found_.depth;
        level_end = states_.size();
        if (found_.depth >= limits_.depth_max) break;
      }
      if (states_.size() >= limits_.states_max) break;
      const State state = states_[at];
      if (limits_.settles && !settles(state, at)) break;
      world_.actions(state, actions);
      if (!expand(state, at, actions)) break;
      found_.closed = at + 1 == states_.size();
    }
    found_.states = states_.size();
    for (const Settling& way : ways_) found_.settled += way.size();
    return std::move(found_);
  }

 private:
  bool add(const State& state, std::size_t parent, Action action) {
    if (!seen_.insert(hash_of(state))) return false;
    states_.push_back(state);
    parents_.push_back({static_cast<std::uint32_t>(parent), action});
    return true;
  }
  bool expand(const State& state, std::size_t at, const std::vector<Action>& actions) {
    for (const Action action : actions) {
      auto next = world_.step(state, action);
      ++found_.transitions;
      if (!next.broken.empty()) {
        found_.broken = std::move(next.broken);
        trace_to(at);
        found_.trace.push_back(fmt::format("node{} {}\n{}", action.node, to_string(action.kind), world_.text(next.state)));
        return false;
      }
      (void)add(next.state, at, action);
    }
    return true;
  }
  bool settles(const State& state, std::size_t at) {
    const auto fails = [&](Settling& way, const State& from) {
      found_.broken = way.reach(from, nullptr);
      if (found_.broken.empty()) return false;
      trace_to(at);
      constexpr std::size_t kTraceMax = 200;
      std::vector<std::string> rest;
      (void)way.reach(from, &rest);  // again, to be told of
      found_.trace.push_back("then:");
      rest.resize(std::min(rest.size(), kTraceMax));
      found_.trace.insert(found_.trace.end(), rest.begin(), rest.end());
      return true;
    };
    if (fails(ways_[0], world_.healed(state))) return false;
    for (const std::uint8_t node : {std::uint8_t{0}, std::uint8_t{1}}) {
      if (!has(state.sides[node], kUp) || !world_.memory(state, node).started) continue;
      State quiet = state;
      quiet.faults = quiet.commands = 0;
      if (fails(ways_[1 + 2U * node], world_.step(quiet, {Kind::Stop, node}).state)) return false;
      if (fails(ways_[2 + 2U * node], world_.step(quiet, {Kind::ForceStop, node}).state)) return false;
    }
    return true;
  }
  void trace_to(std::size_t at) {
    std::vector<std::size_t> way;
    for (; at != 0; at = parents_[at].state) way.push_back(at);
    for (auto one = way.rbegin(); one != way.rend(); ++one) {
      const Action action = parents_[*one].action;
      found_.trace.push_back(fmt::format("node{} {}\n{}", action.node, to_string(action.kind), world_.text(states_[*one])));
    }
  }

  struct Parent {
    std::uint32_t state{0};
    Action action{};
  };
  World& world_;
  Limits limits_;
  HashSet seen_{};
  std::vector<State> states_{};
  std::vector<Parent> parents_{};
  std::deque<Settling> ways_{};
  Found found_{};
};

}  // namespace

Found explore(World& world, const Limits& limits) { return Explorer{world, limits}.run(); }

}  // namespace safekit::model
