#include "controllers/role/synced.h"

#include <gtest/gtest.h>

namespace safekit::role {
namespace {

constexpr WallTime kNow{1'000'000'000'000'000};
constexpr Duration kDelta = minutes{10};

WallTime ago(Duration age) { return {kNow.ns - age.count()}; }

/// PRIM Ready with a secondary that has everything.
struct Pair {
  Desired desired{.replicates = true, .sync_delta = kDelta};
  Observed observed{};
  Memory memory{};
  Pair() {
    memory.section.role = Role::Prim;
    memory.section.readiness = Readiness::Ready;
    observed.replication = {.alive = true, .up_to_date = true, .ever_synchronised = true, .connected = true, .peer_synchronised = true};
    observed.peer.heard = true;
    observed.wall_now = kNow;
  }
  [[nodiscard]] bool equal() const { return synced_input(desired, observed, memory, {}).equal; }
};

}  // namespace

TEST(Synced, Table) {
  struct Row {
    const char* label{};
    Duration delta{};
    bool equal{false};
    bool consistent{true};
    std::optional<Duration> age{};
    std::optional<bool> synced{};
    std::optional<Duration> kept_age{};
    std::optional<Duration> recheck{};
  };
  const std::optional<Duration> none{};
  const std::array rows{
      Row{"not set", {}, false, true, minutes{2}, {}, minutes{2}, none},
      Row{"up to a minute is not set", minutes{1}, true, true, none, {}, none, none},
      Row{"equal for the first time", kDelta, true, true, none, true, Duration{}, kSyncedStep},
      Row{"equal, kept a while ago", kDelta, true, true, seconds{4}, true, seconds{4}, kSyncedStep - seconds{4}},
      Row{"equal, kept long ago", kDelta, true, true, kSyncedStep, true, Duration{}, kSyncedStep},
      Row{"equal, and the clock was set back", kDelta, true, true, -hours{1}, true, Duration{}, kSyncedStep},
      Row{"never equal", kDelta, false, true, none, false, none, none},
      Row{"parted lately", kDelta, false, true, minutes{9}, true, minutes{9}, minutes{1}},
      Row{"parted just too long", kDelta, false, true, kDelta, false, kDelta, none},
      Row{"parted, half synchronised since", kDelta, false, false, minutes{2}, false, minutes{2}, none},
      Row{"parted in the future", kDelta, false, true, -seconds{1}, false, -seconds{1}, none},
  };
  for (const Row& row : rows) {
    const auto at = [](const std::optional<Duration>& age) { return age ? std::optional{ago(*age)} : std::nullopt; };
    const SyncedStep step = step_synced(
        {.sync_delta = row.delta, .equal = row.equal, .consistent = row.consistent, .last = at(row.age), .now = kNow});
    EXPECT_EQ(step, (SyncedStep{.last = at(row.kept_age), .synced = row.synced, .recheck_after = row.recheck})) << row.label;
  }
}

TEST(Synced, TheCopiesAreEqualInAReadyPairOnly) {
  EXPECT_TRUE(Pair{}.equal());
  Pair second;
  second.memory.section.role = Role::Second;
  EXPECT_TRUE(second.equal());
  const auto spoiled = [](auto spoil) {
    Pair pair;
    spoil(pair);
    return pair.equal();
  };
  EXPECT_FALSE(spoiled([](Pair& p) { p.memory.section.role = Role::Alone; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.memory.section.readiness = Readiness::Transient; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.observed.peer.heard = false; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.observed.replication.connected = false; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.observed.replication.peer_synchronised = false; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.observed.replication.waiting_for_alone = true; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.observed.replication.up_to_date = false; }));
  EXPECT_FALSE(spoiled([](Pair& p) { p.observed.replication.alive = false; }));
}

TEST(Synced, WithoutReplicationThereIsNothingToBeSynchronised) {
  Pair pair;
  pair.desired.replicates = false;
  EXPECT_EQ(step_synced(synced_input(pair.desired, pair.observed, pair.memory, {})), SyncedStep{});
}

}  // namespace safekit::role
