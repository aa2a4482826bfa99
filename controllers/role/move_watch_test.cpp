#include "controllers/role/move_watch.h"

#include <gtest/gtest.h>

#include "controllers/role/sequences.h"

namespace safekit::role {
namespace {

MonoTime at(std::int64_t ms) { return MonoTime{} + seconds{100} + milliseconds{ms}; }

/// A secondary and what it sees, pass by pass.
struct Bench {
  Memory memory{};
  Observed observed{};
  MoveWatch watch{};
  Bench() {
    memory.started = true;
    memory.section.role = Role::Second;
    memory.section.readiness = Readiness::Ready;
    observed.wall_now = WallTime{1'000'000'000'000};
    observed.peer = {.heard = true, .module_known = true, .role = Role::Prim, .readiness = Readiness::Ready};
  }
  std::optional<status::Timeline> pass(std::int64_t ms, const std::function<void(Memory&)>& change = {}) {
    const Memory before = memory;
    if (change) change(memory);
    return watch_move(watch, before, memory, observed, at(ms));
  }
  void take(Memory& m) const { m.steps = steps_failover({.replicates = true}, {.role = ReplicaOrder::Role::Primary}); }
  static void drop(Memory& m, std::size_t left) {
    while (m.steps.size() > left) m.steps.pop_front();
  }
  static void arrive(Memory& m) {
    m.steps.clear();
    m.section.role = Role::Alone;
    m.section.readiness = Readiness::Ready;
  }
};

TEST(MoveWatch, AFailoverBeginsWithTheLastHeartbeat) {
  Bench bench;
  EXPECT_EQ(bench.pass(0), std::nullopt);
  bench.observed.peer.heard = false;
  bench.observed.peer.silence_known = true;
  bench.observed.peer.last_heard = at(-300);
  EXPECT_EQ(bench.pass(10, [&](Memory& m) { bench.take(m); }), std::nullopt);
  EXPECT_EQ(bench.pass(40, [](Memory& m) { Bench::drop(m, 3); }), std::nullopt);
  const auto timeline = bench.pass(140, Bench::arrive);
  ASSERT_TRUE(timeline.has_value());
  EXPECT_EQ(status::describe(*timeline), "failover in 440 ms: detect 310 ms, decide 0 ms, fence 0 ms, switch 30 ms, application 100 ms");
  EXPECT_EQ(timeline->began, WallTime{bench.observed.wall_now.ns - 310'000'000});
  EXPECT_EQ(bench.pass(150), std::nullopt) << "once";
}

TEST(MoveWatch, AWitnessThatIsAskedIsTheFence) {
  Bench bench;
  bench.observed.peer.heard = false;
  bench.observed.peer.silence_known = true;
  bench.observed.peer.last_heard = at(0);
  EXPECT_EQ(bench.pass(100, [](Memory& m) { m.section.lease = LeaseNeed::Needed; }), std::nullopt);
  EXPECT_EQ(bench.pass(170, [&](Memory& m) { bench.take(m); }), std::nullopt);
  const auto timeline = bench.pass(180, Bench::arrive);
  ASSERT_TRUE(timeline.has_value());
  EXPECT_EQ(status::describe(*timeline), "failover in 180 ms: detect 100 ms, decide 0 ms, fence 70 ms, switch 10 ms, application 0 ms");
}

TEST(MoveWatch, WhoIsStoppedOrSwappedFencesItself) {
  for (const bool swap : {false, true}) {
    Bench bench;
    bench.observed.peer.readiness = Readiness::Transient;
    bench.observed.peer.in_service_hand_over = swap;
    EXPECT_EQ(bench.pass(0), std::nullopt);
    bench.observed.peer.role = swap ? Role::Second : Role::Wait;
    EXPECT_EQ(bench.pass(500, [&](Memory& m) { bench.take(m); }), std::nullopt);
    const auto timeline = bench.pass(520, Bench::arrive);
    ASSERT_TRUE(timeline.has_value());
    EXPECT_EQ(timeline->kind, swap ? status::Timeline::Kind::Swap : status::Timeline::Kind::HandOver);
    EXPECT_EQ(timeline->phases[2], milliseconds{500});
    EXPECT_EQ(status::total_of(*timeline), milliseconds{520});
  }
}

TEST(MoveWatch, WhatComesBackOrStopsIsNoMove) {
  Bench bench;
  bench.observed.peer.readiness = Readiness::Transient;
  EXPECT_EQ(bench.pass(0), std::nullopt);
  bench.observed.peer.readiness = Readiness::Ready;  // a restart over there
  EXPECT_EQ(bench.pass(10), std::nullopt);
  EXPECT_EQ(bench.watch, MoveWatch{});
  bench.observed.peer.role = Role::Wait;
  EXPECT_EQ(bench.pass(20, [&](Memory& m) { bench.take(m); }), std::nullopt);
  EXPECT_EQ(bench.pass(30, [](Memory& m) { m.stopping = true; }), std::nullopt);
  EXPECT_EQ(bench.watch, MoveWatch{});
  Bench starts;
  starts.memory.section.role = Role::Wait;
  starts.observed.peer.role = Role::Wait;
  EXPECT_EQ(starts.pass(0, Bench::arrive), std::nullopt) << "a start";
}

}  // namespace
}  // namespace safekit::role
