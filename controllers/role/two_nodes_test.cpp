// Two real role machines, a model of their replicas, and failures chosen by a seed. It checks the promises of design.md 1
// at every step, with a copy of the data reduced to the number of the last write in it.
#include <gtest/gtest.h>

#include <random>

#include "controllers/role/memory_text.h"
#include "controllers/role/plan.h"

namespace safekit::role {
namespace {

constexpr int kSilenceTicks = 10;

/// What survives power loss on a node: the replica's journal, the pairing mark, and the data.
struct Disk {
  bool up_to_date{false};
  bool inconsistent{false};
  bool ever{false};
  bool last_primary{false};
  int data{0};
};

struct Node {
  bool up{true};
  Memory memory{};
  bool paired_mark{false};
  Disk disk{};
  // The replica process.
  bool replica_runs{false};
  bool replica_died{false};
  ReplicaOrder taken{};      ///< last order acted upon
  bool alone_granted{false};
  bool waiting{false};
  bool synchronised{false};  ///< the pair is complete, as this side knows it
  std::uint64_t pairing{0};  ///< changes whenever the peer's copy may have become complete
  std::uint64_t script_run{0};
  int script_left{0};
  bool script_finished{false};
  bool addresses{false};
  int silent_ticks{0};
  int late_ticks{0};  ///< heartbeats to this node are under way for so long
  std::vector<store::Operation> operations{};
  status::PeerSection peer{};
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {
    for (int i = 0; i < 2; ++i) desired_[i] = {.replicates = true, .first_named = i == 0};
  }

  void command(int node, std::string verb) {
    nodes_[node].operations.push_back({.id = ++last_id_, .verb = std::move(verb), .caller = "root"});
  }
  void kill(int i) {
    Node& node = nodes_[i];
    node.memory = after_boot(node.memory, node.paired_mark);
    node.up = node.replica_runs = node.alone_granted = node.waiting = node.synchronised = node.addresses = false;
    node.replica_died = false;
    node.taken = {};
    node.script_run = 0;
    node.peer = {};
    node.silent_ticks = 0;
    node.operations.clear();
    drop_stream();
  }
  void boot(int i) { nodes_[i].up = true; }
  void kill_replica(int i) {
    Node& node = nodes_[i];
    if (!node.replica_runs) return;
    node.replica_died = node.taken.role == ReplicaOrder::Role::Primary || node.taken.role == ReplicaOrder::Role::Secondary;
    node.replica_runs = node.synchronised = node.waiting = node.alone_granted = false;
    drop_stream();
  }
  void cut_replication(bool cut) {
    replication_cut_ = cut;
    if (cut) drop_stream();
  }
  /// kill -9 of safekitd: what was kept as text is all that is left.
  void restart_daemon(int i) { nodes_[i].memory = memory_from_text(to_text(nodes_[i].memory)).value(); }

  void tick() {
    for (int i : order()) {
      if (!nodes_[i].up) continue;
      hear(i);
      scripts(i);
      replica(i);
      write(i);
      decide_on(i);
    }
    streams();
    ++now_;
  }
  void run(int ticks) {
    for (int i = 0; i < ticks; ++i) tick();
  }
  bool run_until(const std::function<bool()>& done, int ticks = 3000) {
    for (int i = 0; i < ticks && !done(); ++i) tick();
    return done();
  }
  [[nodiscard]] bool is(int i, Role role) const {
    const auto& section = nodes_[i].memory.section;
    const Readiness wanted = role == Role::Stop ? Readiness::NotReady : Readiness::Ready;
    return nodes_[i].up && section.role == role && section.readiness == wanted;
  }
  [[nodiscard]] bool is_pair() const {
    return (is(0, Role::Prim) && is(1, Role::Second)) || (is(1, Role::Prim) && is(0, Role::Second));
  }
  [[nodiscard]] int primary() const { return is(0, Role::Prim) || is(0, Role::Alone) ? 0 : 1; }
  [[nodiscard]] const Node& node(int i) const { return nodes_[i]; }
  [[nodiscard]] std::string text() const {
    std::string out;
    for (const Node& node : nodes_) {
      out += fmt::format("[up {} {} {} '{}' paired {} steps {} replica runs {} role {} alone {} wait {} sync {} disk uptodate {} inconsistent {} data {}] ",
                         node.up, status::to_string(node.memory.section.role), status::to_string(node.memory.section.readiness),
                         node.memory.section.waiting_for, node.memory.section.paired, node.memory.steps.size(), node.replica_runs,
                         int(node.taken.role), node.alone_granted, node.waiting, node.synchronised, node.disk.up_to_date,
                         node.disk.inconsistent, node.disk.data);
    }
    const std::size_t first = history_.size() > 40 ? history_.size() - 40 : 0;
    return fmt::format("\n{}\n", fmt::join(history_.begin() + static_cast<std::ptrdiff_t>(first), history_.end(), "\n")) + out +
           fmt::format("acknowledged {} connected {} tick {}", acknowledged_, connected_, now_);
  }
  Desired& desired(int i) { return desired_[i]; }
  int acknowledged() const { return acknowledged_; }

 private:
  std::array<int, 2> order() { return random_() % 2 == 0 ? std::array{0, 1} : std::array{1, 0}; }

  void hear(int i) {
    Node& node = nodes_[i];
    const Node& other = nodes_[1 - i];
    status::PeerSection& peer = node.peer;
    const bool heard = other.up;
    node.silent_ticks = heard ? 0 : node.silent_ticks + 1;
    if (!heard) {
      if (node.silent_ticks >= kSilenceTicks) peer.heard = false, peer.silence_known = true;
      return;
    }
    if (random_() % 3 == 0) return;  // a heartbeat that is late
    if (random_() % 50 == 0) node.late_ticks = static_cast<int>(random_() % kSilenceTicks);
    if (node.late_ticks > 0 && node.late_ticks-- > 0) return;
    const auto& section = other.memory.section;
    peer = {.heard = true,
            .module_known = true,
            .role = section.role,
            .readiness = section.readiness,
            .up_to_date = other.disk.up_to_date,
            .inconsistent = other.disk.inconsistent,
            .ever_synchronised = other.disk.ever,
            .has_data = other.disk.data > 0,
            .last_primary = other.disk.last_primary,
            .replicates = other.replica_runs,
            .paired = section.paired,
            .in_service_hand_over = section.in_service_hand_over,
            .swap_requested = section.swap_requested,
            .out_of_date_requested = section.out_of_date_requested,
            .marked_out_of_date = !other.disk.up_to_date,
            .asked_pairing = section.asked_pairing,
            .answered_pairing = answered_pairing(other),
            .wants_primary = section.wants_primary,
            .came_from_second = section.came_from_second};
    if (!other.replica_runs) peer.up_to_date = peer.inconsistent = peer.marked_out_of_date = false;
  }

  /// membership/payload.cpp: what is said is newer than the question about that pairing.
  static std::uint64_t answered_pairing(const Node& node) {
    const auto& section = node.memory.section;
    const std::uint64_t asked = node.peer.heard && node.peer.out_of_date_requested ? node.peer.asked_pairing : 0;
    const auto is_active = [](const ReplicaOrder& order) {
      return order.role == ReplicaOrder::Role::Primary || order.role == ReplicaOrder::Role::Secondary;
    };
    if (section.role == Role::Stop || section.role == Role::Wait) {
      return is_active(section.replica) || is_active(node.taken) ? 0 : asked;
    }
    const bool marked = node.replica_runs && node.taken.mark_out_of_date && node.taken.pairing == asked && !node.disk.up_to_date;
    return marked ? asked : 0;
  }

  void scripts(int i) {
    Node& node = nodes_[i];
    const auto& order = node.memory.section.script;
    node.addresses = node.memory.section.addresses_wanted;
    if (!order) return;
    if (node.script_run != order->run) {
      node.script_run = order->run;
      node.script_left = static_cast<int>(random_() % 4);
      node.script_finished = false;
    } else if (node.script_left-- <= 0) {
      node.script_finished = true;
    }
  }

  /// The contract of control::Want, in small.
  void replica(int i) {
    Node& node = nodes_[i];
    const ReplicaOrder& wanted = node.memory.section.replica;
    if (wanted.role == ReplicaOrder::Role::None) {
      node.replica_runs = node.replica_died = false;
      node.taken = {};
      return;
    }
    if (!node.replica_runs) {
      if (node.replica_died && wanted.role != ReplicaOrder::Role::Idle) return;
      node.replica_runs = true;
      node.replica_died = false;
      node.taken = {};
    }
    if (node.taken == wanted || random_() % 2 == 0) return;
    const bool role_changes = node.taken.role != wanted.role;
    if (role_changes && connected_) drop_stream();
    if (wanted.mark_out_of_date) {
      node.disk.up_to_date = false;
      if (connected_) drop_stream();
    }
    if (wanted.force_up_to_date) node.disk.up_to_date = node.disk.ever = true, node.disk.inconsistent = false;
    if (wanted.role == ReplicaOrder::Role::Primary) node.disk.last_primary = true;
    if (wanted.role == ReplicaOrder::Role::Secondary && node.taken.role == ReplicaOrder::Role::Primary) node.disk.last_primary = false;
    if (role_changes) node.waiting = node.synchronised = node.alone_granted = false;
    if (role_changes && wanted.role == ReplicaOrder::Role::Primary) node.pairing = ++last_pairing_;
    const bool now = wanted.pairing == 0 || wanted.pairing == node.pairing;
    if (wanted.may_be_alone && now && !node.taken.may_be_alone) node.alone_granted = true, node.waiting = false;
    if (role_changes && wanted.may_be_alone) node.alone_granted = true;
    node.taken = wanted;
  }

  void drop_stream() {
    if (!connected_) return;
    connected_ = false;
    for (Node& node : nodes_) {
      if (node.taken.role == ReplicaOrder::Role::Primary && node.replica_runs && node.synchronised) {
        node.waiting = true;
        node.alone_granted = false;
      }
      node.synchronised = false;
    }
  }

  void streams() {
    if (replication_cut_ || !nodes_[0].up || !nodes_[1].up) return;
    for (int i = 0; i < 2; ++i) {
      Node& primary = nodes_[i];
      Node& second = nodes_[1 - i];
      if (!primary.replica_runs || !second.replica_runs) continue;
      if (primary.taken.role != ReplicaOrder::Role::Primary || second.taken.role != ReplicaOrder::Role::Secondary) continue;
      if (second.taken.mark_out_of_date || random_() % 3 == 0) continue;
      if (!connected_) {
        connected_ = true;
        second.disk.up_to_date = second.disk.up_to_date && second.disk.data == primary.disk.data;
        second.disk.inconsistent = !second.disk.up_to_date;
        second.disk.last_primary = false;
        return;
      }
      if (primary.synchronised) return;
      // The end of the synchronisation: from here on the primary acknowledges nothing without the peer.
      primary.alone_granted = primary.waiting = false;
      primary.pairing = ++last_pairing_;
      second.disk = {.up_to_date = true, .ever = true, .data = primary.disk.data};
      primary.disk.ever = primary.synchronised = second.synchronised = true;
    }
  }

  void write(int i) {
    Node& node = nodes_[i];
    if (!node.replica_runs || node.taken.role != ReplicaOrder::Role::Primary) return;
    const bool mirrored = connected_ && node.synchronised;
    if (!mirrored && !node.alone_granted) return;
    EXPECT_EQ(node.disk.data, acknowledged_) << "an acknowledged write is missing on the primary: " << text();
    node.disk.data = ++acknowledged_;
    if (mirrored) nodes_[1 - i].disk.data = node.disk.data;
  }

  void decide_on(int i) {
    Node& node = nodes_[i];
    Observed seen{.wall_now = WallTime{now_ * 100'000'000}};
    seen.script = {.run = node.script_run, .running = !node.script_finished, .finished = node.script_finished};
    seen.replication = {.configured = true,
                        .order = node.taken,
                        .alive = node.replica_runs,
                        .died = node.replica_died,
                        .settled = node.replica_runs,
                        .up_to_date = node.disk.up_to_date,
                        .inconsistent = node.disk.inconsistent,
                        .ever_synchronised = node.disk.ever,
                        .has_data = node.disk.data > 0,
                        .last_primary = node.disk.last_primary,
                        .connected = node.replica_runs && connected_,
                        .peer_synchronised = node.synchronised,
                        .waiting_for_alone = node.waiting,
                        .pairing = node.pairing};
    seen.addresses = {.all_set = node.addresses, .all_unset = !node.addresses, .probed = true};
    seen.checker.watched = node.memory.section.watched;
    seen.peer = node.peer;
    seen.operations = std::exchange(node.operations, {});
    const Plan plan = decide(desired_[i], seen, node.memory);
    node.memory = plan.memory;
    for (const Say& line : plan.lines) history_.push_back(fmt::format("{:5} node{} {}", now_, i, line.text));
    node.paired_mark = plan.memory.section.paired;
    ASSERT_EQ(memory_from_text(to_text(node.memory)).value(), node.memory);
    seen.operations.clear();
    EXPECT_EQ(decide(desired_[i], seen, node.memory).memory, node.memory) << "deciding again changed something";
  }

  std::mt19937_64 random_;
  std::array<Desired, 2> desired_{};
  std::array<Node, 2> nodes_{};
  bool connected_{false};
  bool replication_cut_{false};
  std::uint64_t last_pairing_{0};
  int acknowledged_{0};
  std::vector<std::string> history_{};  ///< the module log of both, for a failure's message
  std::int64_t now_{1};
  std::uint64_t last_id_{0};
};

void start_pair(World& world) {
  world.command(0, "start");
  world.command(1, "start");
  ASSERT_TRUE(world.run_until([&] { return world.is_pair(); })) << world.text();
}

}  // namespace

TEST(TwoNodes, FirstStartMakesAPair) {
  World world{1};
  start_pair(world);
  EXPECT_TRUE(world.is(0, Role::Prim));
}

TEST(TwoNodes, StopOfPrimMovesTheServiceAndStartBringsItBackAsSecond) {
  World world{2};
  start_pair(world);
  world.command(0, "stop");
  ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Stop) && world.is(1, Role::Alone); })) << world.text();
  world.command(0, "start");
  ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Second) && world.is(1, Role::Prim); })) << world.text();
}

TEST(TwoNodes, BothStoppedAtOnceStartAgainWithoutAPerson) {
  for (int delay = -12; delay <= 12; ++delay) {
    SCOPED_TRACE(fmt::format("delay {}", delay));
    World world{static_cast<std::uint64_t>(50 + delay)};
    start_pair(world);
    const int first = delay < 0 ? 1 : 0;
    world.command(first, "stop");
    world.run(delay < 0 ? -delay : delay);
    world.command(1 - first, "stop");
    ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Stop) && world.is(1, Role::Stop); })) << world.text();
    for (int i : {0, 1}) world.command(i, "start");
    ASSERT_TRUE(world.run_until([&] { return world.is_pair(); })) << world.text();
  }
}

TEST(TwoNodes, SwapExchangesTheRolesFromEitherSide) {
  for (const int asked : {0, 1}) {
    World world{3};
    start_pair(world);
    world.command(asked, "swap");
    ASSERT_TRUE(world.run_until([&] { return world.is(1, Role::Prim) && world.is(0, Role::Second); })) << world.text();
  }
}

TEST(TwoNodes, DefaultPrimaryComesHomeAfterItsRepair) {
  World world{4};
  world.desired(0).default_primary = Desired::DefaultPrimary::ThisNode;
  world.desired(1).default_primary = Desired::DefaultPrimary::OtherNode;
  start_pair(world);
  world.kill(0);
  ASSERT_TRUE(world.run_until([&] { return world.is(1, Role::Alone); })) << world.text();
  world.boot(0);
  world.command(0, "start");
  ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Prim) && world.is(1, Role::Second); })) << world.text();
}

TEST(TwoNodes, FailoverOffKeepsTheSecondaryWaiting) {
  World world{5};
  for (int i : {0, 1}) world.desired(i).failover = false;
  start_pair(world);
  world.command(0, "stop");
  ASSERT_TRUE(world.run_until([&] {
    return world.is(0, Role::Stop) && world.node(1).memory.section.waiting_for == "failover-off";
  })) << world.text();
  world.run(200);
  EXPECT_EQ(world.node(1).memory.section.role, Role::Wait);
  world.command(0, "start");
  ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Prim) && world.is(1, Role::Second); })) << world.text();
}

TEST(TwoNodes, DoublePowerLossBringsTheFormerPrimaryBackOnlyWhenBothAreThere) {
  World world{6};
  start_pair(world);
  world.kill(0);
  world.kill(1);
  world.boot(0);
  world.command(0, "start");
  world.run(300);
  EXPECT_EQ(world.node(0).memory.section.waiting_for, "notuptodate_server") << world.text();
  world.boot(1);
  world.command(1, "start");
  ASSERT_TRUE(world.run_until([&] { return world.is(0, Role::Prim) && world.is(1, Role::Second); })) << world.text();
}

TEST(TwoNodes, AStaleNodeWaitsForever) {
  World world{7};
  start_pair(world);
  world.kill(0);
  ASSERT_TRUE(world.run_until([&] { return world.is(1, Role::Alone); }));
  world.run(50);
  world.kill(1);
  world.boot(0);
  world.command(0, "start");
  world.run(500);
  EXPECT_EQ(world.node(0).memory.section.role, Role::Wait);
  EXPECT_EQ(world.node(0).memory.section.waiting_for, "notuptodate_server");
}

TEST(TwoNodes, EverySingleFailureIsSurvivedWithoutLosingAnAcknowledgedWrite) {
  for (std::uint64_t seed = 100; seed < 500; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    World world{seed};
    std::mt19937_64 random{seed};
    start_pair(world);
    for (int round = 0; round < 6 && !::testing::Test::HasFailure(); ++round) {
      world.run(static_cast<int>(random() % 20));
      const int victim = static_cast<int>(random() % 2);
      const bool primary_hit = victim == world.primary();
      const auto kind = random() % 6;
      std::optional<int> reboot;
      switch (kind) {
        case 0: world.kill(victim); reboot = victim; break;
        case 1: world.kill_replica(victim); break;
        case 2: world.cut_replication(true); break;
        case 3: world.command(victim, "swap"); break;
        case 4: world.command(victim, "stop"); break;
        default: world.restart_daemon(victim); break;
      }
      world.run(static_cast<int>(random() % 60));
      if (kind == 2) world.cut_replication(false);
      ASSERT_TRUE(world.run_until([&] { return world.is_pair() || world.is(0, Role::Alone) || world.is(1, Role::Alone); }))
          << "no service after failure " << kind << " of the " << (primary_hit ? "primary" : "secondary") << ": " << world.text();
      const int before = world.acknowledged();
      ASSERT_TRUE(world.run_until([&] { return world.acknowledged() > before; })) << "writers hang: " << world.text();
      if (reboot) world.boot(*reboot);
      if (kind == 4) {
        ASSERT_TRUE(world.run_until([&] { return world.is(victim, Role::Stop); })) << world.text();
      }
      if (reboot || kind == 4) world.command(victim, "start");
      ASSERT_TRUE(world.run_until([&] { return world.is_pair(); })) << "failure " << kind << ": " << world.text();
    }
  }
}

}  // namespace safekit::role
