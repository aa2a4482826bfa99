#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "controllers/role/elapsed.h"
#include "controllers/role/plan.h"

/// One role machine, driven by a test: everything it orders is done at once. For tests only.
namespace safekit::role::bench {

struct Bench {
  Desired desired{.mode = Mode::Light};
  Observed observed{};
  Memory memory{};
  std::vector<std::string> lines{};
  std::uint64_t last_id{0};

  Bench() {
    observed.addresses = {.all_set = true, .all_unset = true, .probed = true};
    observed.wall_now = WallTime{1'000'000'000};
  }
  /// Decides until nothing moves; every script ends at once with success.
  std::string settle() {
    std::string outcome;
    for (;;) {
      observed.elapsed = elapsed(desired, memory, observed.wall_now);
      const Plan plan = decide(desired, observed, memory);
      observed.operations.clear();
      memory = plan.memory;
      for (const Say& line : plan.lines) lines.push_back(line.text);
      for (const auto& finished : plan.finished) outcome = finished.outcome;
      const bool checkers_lag = observed.failover.watched != memory.section.watched;
      observed.failover.watched = memory.section.watched;
      if (checkers_lag) continue;
      if (!memory.section.script || observed.script.run == memory.section.script->run) return outcome;
      observed.script = {.run = memory.section.script->run, .finished = true};
    }
  }
  std::string command(std::string verb, bool automatic = false) {
    observed.operations = {{.id = ++last_id, .verb = std::move(verb), .caller = automatic ? "checker" : "root", .automatic = automatic}};
    return settle();
  }
  void errd_asks(std::string action) {
    observed.errd.request = status::ActionRequest{.id = ++last_id, .action = std::move(action), .by = "errd"};
    settle();
  }
  [[nodiscard]] std::string state() const {
    return fmt::format("{} {}", status::to_string(memory.section.role), status::to_string(memory.section.readiness));
  }
  [[nodiscard]] bool said(std::string_view text) const {
    return std::find(lines.begin(), lines.end(), text) != lines.end();
  }
};

struct MirrorBench {
  Desired desired{.replicates = true};
  Observed observed{.wall_now = WallTime{1'000'000'000}};
  Memory memory{};

  explicit MirrorBench(Role role) {
    const bool primary = role == Role::Prim;
    memory.started = true;
    memory.section.role = role;
    memory.section.readiness = Readiness::Ready;
    memory.section.since = WallTime{1};
    memory.section.replica.role = primary ? ReplicaOrder::Role::Primary : ReplicaOrder::Role::Secondary;
    memory.section.watched = observed.failover.watched =
        primary ? std::set{WatchClass::Pre, WatchClass::Both, WatchClass::Prim}
                : std::set{WatchClass::Pre, WatchClass::Both, WatchClass::Second, WatchClass::Sec};
    observed.addresses = {.all_set = primary, .all_unset = !primary, .probed = true};
    observed.replication = {.configured = true, .order = memory.section.replica, .alive = true, .settled = true,
                            .up_to_date = true, .ever_synchronised = true};
    observed.peer = {.heard = true, .module_known = true, .role = primary ? Role::Second : Role::Prim,
                     .readiness = Readiness::Ready, .up_to_date = !primary, .ever_synchronised = true, .replicates = true, .paired = true};
  }
  const ReplicaOrder& decide_once() {
    observed.elapsed = elapsed(desired, memory, observed.wall_now);
    memory = decide(desired, observed, memory).memory;
    return memory.section.replica;
  }
};

/// A mirror that serves alone, with all that a replica would say.
inline Bench serving_alone() {
  Bench bench;
  bench.desired = {.replicates = true};
  bench.memory.section.role = Role::Alone;
  bench.memory.section.readiness = Readiness::Ready;
  bench.memory.section.replica = {.role = ReplicaOrder::Role::Primary, .may_be_alone = true};
  bench.memory.started = true;
  bench.observed.replication = {.configured = true,
                                .order = bench.memory.section.replica,
                                .alive = true,
                                .settled = true,
                                .up_to_date = true,
                                .ever_synchronised = true};
  return bench;
}

}  // namespace safekit::role::bench
