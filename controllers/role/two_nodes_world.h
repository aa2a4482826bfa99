#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "controllers/role/elapsed.h"
#include "controllers/role/memory_text.h"
#include "controllers/role/own_rules.h"
#include "controllers/role/plan.h"

/// Two real role machines, a model of their replicas, and failures chosen by a seed. It checks the promises of design.md 1
/// at every step, with a copy of the data reduced to the number of the last write in it. For tests only.
namespace safekit::role::two_nodes {

inline constexpr int kSilenceTicks = 10;
inline constexpr int kBlindTicks = 3;  ///< a new safekitd has not found everything again
inline constexpr int kLeaseTicks = 100;
inline constexpr int kPatienceTicks = 30;  ///< no answer for so long: the witness is silent
inline constexpr int kAskTicks = 5;
inline constexpr int kLimitTicks = 200;  ///< of a script that has one

/// What survives power loss on a node: the replica's journal, the pairing mark, and the data.
struct Disk {
  bool up_to_date{false};
  bool inconsistent{false};
  bool ever{false};
  bool last_primary{false};
  int generation{0};  ///< a new one for each period in which writes were acknowledged without the peer
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
  bool mirroring{false};     ///< the primary acknowledges only what the peer has
  bool alone_noted{false};   ///< this period has its generation
  bool synchronised{false};  ///< the pair is complete, as this side knows it
  bool unverified{false};    ///< a secondary's: and is still compared
  std::uint64_t pairing{0};  ///< changes whenever the peer's copy may have become complete
  bool refused{false};       ///< told to be primary with a copy that must not be
  int blind_ticks{0};
  std::uint64_t script_run{0};
  int script_left{0};
  bool script_finished{false};
  bool addresses{false};
  int silent_ticks{0};
  int late_ticks{0};  ///< heartbeats to this node are under way for so long
  std::vector<store::Operation> operations{};
  status::PeerSection peer{};
  // What controllers/lease knows and says, and failover of that.
  status::LeaseSection::Answer answer{};
  std::int64_t until{0};  ///< it believes in its lease; the replica as well
  std::int64_t first_asked{0};
  std::int64_t next_ask{0};
  bool value_down{false};
  bool rule_down{false};
  bool witness_cut{false};
};

/// With a witness (`with_witness`): one lease with one holder, who keeps the other node away until the pair is complete again. A question is
/// lost or answered at once; a lease that is not renewed ends for its holder. A replica that is primary
/// by the lease acknowledges nothing once it has ended. A promise of a secondary to its primary has no time here: a primary that mirrors
/// acknowledges what the peer has taken while the stream lives, and whoever is promoted has closed it first. That its right has ended
/// when the other's begins, is for the replica's own tests.
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
    note(i, "*** power loss");
    node.memory = after_boot(node.memory, node.paired_mark);
    drop_stream();
    end_replica(node);
    node.up = node.addresses = node.replica_died = false;
    node.script_run = 0;
    node.peer = {};
    node.silent_ticks = node.blind_ticks = 0;
    node.operations.clear();
    forget_lease(node);
    node.until = 0;
  }
  void boot(int i) {
    note(i, "*** boot");
    nodes_[i].up = true;
  }
  void kill_replica(int i) {
    Node& node = nodes_[i];
    if (!node.replica_runs) return;
    note(i, "*** the replica dies");
    drop_stream();
    node.replica_died = node.taken.role == ReplicaOrder::Role::Primary || node.taken.role == ReplicaOrder::Role::Secondary;
    end_replica(node);
  }
  void cut_replication(bool cut) {
    note(0, cut ? "*** replication cut" : "*** replication healed");
    replication_cut_ = cut;
    if (cut) drop_stream();
  }
  /// kill -9 of safekitd: what was kept as text is all that is left.
  void restart_daemon(int i) {
    Node& node = nodes_[i];
    if (!node.up) return;
    note(i, "*** safekitd restarts");
    node.memory = memory_from_text(to_text(node.memory)).value();
    node.peer = {};
    node.silent_ticks = 0;
    node.blind_ticks = kBlindTicks;
    forget_lease(node);
  }
  void with_witness() {
    for (Desired& desired : desired_) desired.witness = status::LeaseSection::Witness::Grants;
    has_witness_ = true;
  }
  void cut_witness(int i, bool cut) {
    note(i, cut ? "*** way to the witness cut" : "*** way to the witness healed");
    nodes_[i].witness_cut = cut;
  }
  /// A rule that is broken on purpose: what a machine sees, and what it has decided.
  std::function<void(Observed&)> see{};
  std::function<void(Plan&)> change{};
  /// The first promise that was broken, in a world with a witness; elsewhere that is the test's failure.
  [[nodiscard]] const std::string& broken() const { return broken_; }
  void cut_heartbeats(bool cut) { heartbeats_cut_ = cut; }

  void tick() {
    for (int i : order()) {
      if (!nodes_[i].up) continue;
      if (nodes_[i].blind_ticks > 0) --nodes_[i].blind_ticks;
      hear(i);
      scripts(i);
      replica(i);
      if (has_witness_) lease(i);
      write(i);
      decide_on(i);
    }
    if (has_witness_ && may_acknowledge(0) && may_acknowledge(1)) fail("two nodes acknowledge writes at once");
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
      out += fmt::format("[up {} {} {} '{}' paired {} steps {} replica runs {} role {} alone {} wait {} sync {} disk uptodate {} inconsistent {} ever {} last {} gen {} data {}]\n",
                         node.up, status::to_string(node.memory.section.role), status::to_string(node.memory.section.readiness),
                         node.memory.section.waiting_for, node.memory.section.paired, node.memory.steps.size(), node.replica_runs,
                         int(node.taken.role), node.alone_granted, node.waiting, node.synchronised, node.disk.up_to_date,
                         node.disk.inconsistent, node.disk.ever, node.disk.last_primary, node.disk.generation, node.disk.data);
    }
    const std::size_t first = history_.size() > 40 ? history_.size() - 40 : 0;
    return fmt::format("\n{}\n", fmt::join(history_.begin() + static_cast<std::ptrdiff_t>(first), history_.end(), "\n")) + out +
           fmt::format("acknowledged {} connected {} tick {}", acknowledged_, connected_, now_);
  }
  Desired& desired(int i) { return desired_[i]; }
  int acknowledged() const { return acknowledged_; }
  /// Some copy is whole and has every acknowledged write.
  [[nodiscard]] bool has_good_copy() const {
    return std::any_of(nodes_.begin(), nodes_.end(),
                       [this](const Node& node) { return !node.disk.inconsistent && node.disk.data == acknowledged_; });
  }

 private:
  void note(int i, std::string_view what) { history_.push_back(fmt::format("{:5} node{} {}", now_, i, what)); }
  std::array<int, 2> order() { return random_() % 2 == 0 ? std::array{0, 1} : std::array{1, 0}; }

  void hear(int i) {
    Node& node = nodes_[i];
    const Node& other = nodes_[1 - i];
    status::PeerSection& peer = node.peer;
    const bool heard = other.up && other.blind_ticks == 0 && !heartbeats_cut_;
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
            .came_from_second = section.came_from_second,
            .holds_lease = other.answer == status::LeaseSection::Answer::Granted,
            .generation = static_cast<std::uint64_t>(other.disk.generation)};
    if (!other.replica_runs) peer.up_to_date = peer.inconsistent = peer.marked_out_of_date = false;
  }

  /// membership/payload.cpp: what is said is newer than the question about that pairing.
  static std::uint64_t answered_pairing(const Node& node) {
    const std::uint64_t asked = node.peer.heard && node.peer.out_of_date_requested ? node.peer.asked_pairing : 0;
    const auto is_active = [](const ReplicaOrder& order) {
      return order.role == ReplicaOrder::Role::Primary || order.role == ReplicaOrder::Role::Secondary;
    };
    const auto& section = node.memory.section;
    if (section.role == Role::Stop || section.role == Role::Wait) {
      return is_active(section.replica) || is_active(node.taken) ? 0 : asked;
    }
    const bool marked = node.replica_runs && node.taken.mark_out_of_date && node.taken.pairing == asked;
    return marked && !node.disk.up_to_date ? asked : 0;
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
      // The application ends when its last fsync has returned; with an error, once the witness has said no.
      const bool refused = node.answer == status::LeaseSection::Answer::Refused || node.answer == status::LeaseSection::Answer::Silent;
      const bool killed = has_witness_ && order->time_limit.count() != 0 && node.script_left < -kLimitTicks;
      node.script_finished = killed || refused || !(order->name == "stop_prim" && node.waiting);
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
    if (role_changes) node.waiting = node.mirroring = node.synchronised = node.alone_granted = node.refused = false;
    if (role_changes && wanted.role == ReplicaOrder::Role::Primary) {
      node.refused = node.disk.inconsistent || (!node.disk.up_to_date && node.disk.ever);
      if (!node.refused) {
        node.disk.up_to_date = node.disk.last_primary = true;
        if (node.disk.generation == 0) node.disk.generation = ++last_generation_;
        node.alone_noted = false;
        node.pairing = ++last_pairing_;
        // Until it has met its peer it acknowledges what it is permitted to.
        node.mirroring = !wanted.may_be_alone;
        node.waiting = false;
      }
    }
    // A permission is for a peer that is lost; while the stream lives there is none.
    const bool mirrors = connected_ && node.mirroring;
    const bool now = wanted.pairing == 0 || wanted.pairing == node.pairing;
    if (wanted.may_be_alone && now && !mirrors && (role_changes || !node.taken.may_be_alone)) {
      node.alone_granted = true;
      node.waiting = node.mirroring = false;
    }
    node.taken = wanted;
  }

  static void end_replica(Node& node) {
    node.replica_runs = node.synchronised = node.unverified = node.waiting = node.mirroring = node.alone_granted = node.refused = false;
    node.taken = {};
  }

  void drop_stream() {
    if (!connected_) return;
    connected_ = false;
    for (Node& node : nodes_) {
      if (node.taken.role == ReplicaOrder::Role::Primary && node.replica_runs && node.mirroring) node.waiting = true;
      node.synchronised = false;
    }
  }

  void streams() {
    if (replication_cut_ || !nodes_[0].up || !nodes_[1].up) return;
    for (int i = 0; i < 2; ++i) {
      Node& primary = nodes_[i];
      Node& second = nodes_[1 - i];
      if (!primary.replica_runs || !second.replica_runs || primary.refused) continue;
      if (primary.taken.role != ReplicaOrder::Role::Primary || second.taken.role != ReplicaOrder::Role::Secondary) continue;
      if (second.taken.mark_out_of_date || random_() % 3 == 0) continue;
      if (!connected_) return connect(primary, second);
      if (primary.synchronised) {
        if (random_() % 4 == 0) second.unverified = false;
        return;
      }
      if (!second.synchronised) return end_synchronisation(primary, second);
      primary.disk.ever = primary.synchronised = true;
      return;
    }
  }

  /// The copies are compared; where they may differ, the second one is no good until the end.
  void connect(Node& primary, Node& second) {
    connected_ = true;
    const bool same = primary.disk.generation == second.disk.generation && primary.disk.data == second.disk.data;
    if (same && random_() % 2 == 0) return end_synchronisation(primary, second);
    second.disk.up_to_date = second.unverified = false;
    second.disk.inconsistent = true;
    // The primary waited for the peer's answer: it has noted that it is out of date, and nothing is lost by going on.
    if (primary.waiting || primary.mirroring) primary.alone_granted = true;
    primary.waiting = primary.mirroring = false;
  }

  /// From here on the primary acknowledges nothing without the peer.
  void end_synchronisation(Node& primary, Node& second) {
    primary.alone_granted = primary.waiting = primary.alone_noted = false;
    primary.mirroring = true;
    primary.pairing = ++last_pairing_;
    second.disk = {.up_to_date = true, .ever = true, .generation = primary.disk.generation, .data = primary.disk.data};
    second.synchronised = true;
    second.unverified = random_() % 3 == 0;
  }

  void fail(std::string_view what) {
    if (!has_witness_) ADD_FAILURE() << what << ": " << text();
    if (broken_.empty()) broken_ = fmt::format("{}: {}", what, text());
  }

  [[nodiscard]] bool may_acknowledge(int i) const {
    const Node& node = nodes_[i];
    if (!node.up || !node.replica_runs || node.taken.role != ReplicaOrder::Role::Primary || node.refused) return false;
    if (connected_ && node.mirroring) return true;
    return node.alone_granted && !node.waiting && (!node.taken.by_lease || now_ < node.until);
  }

  static void forget_lease(Node& node) {
    node.answer = status::LeaseSection::Answer::NotAsked;
    node.value_down = node.rule_down = false;
    node.next_ask = 0;
  }

  /// controllers/lease, the witness, and failover's default rule.
  void lease(int i) {
    using Answer = status::LeaseSection::Answer;
    Node& node = nodes_[i];
    if (random_() % 3 == 0) node.rule_down = node.value_down;
    if (random_() % 4 == 0) return;  // a controller that is late
    const LeaseNeed need = node.memory.section.lease;
    const bool asks = need == LeaseNeed::Wanted || need == LeaseNeed::Needed;
    if (node.answer == Answer::Granted && now_ >= node.until) node.answer = asks ? Answer::Silent : Answer::NotAsked;
    if (need < LeaseNeed::Stands) {
      const ReplicaOrder& order = node.memory.section.replica;
      const bool consents = order.role == ReplicaOrder::Role::Primary && !order.by_lease;
      if (!consents && node.taken.by_lease && may_acknowledge(i)) fail("a lease is given back by a node that acts upon it still");
      if (need == LeaseNeed::GivenBack && holder_ == i && !node.witness_cut) holder_ = -1;
      node.until = 0;
      forget_lease(node);
      return;
    }
    if (asks && node.answer == Answer::NotAsked) {
      node.answer = Answer::Asked;
      node.first_asked = now_;
    }
    if (asks && now_ >= node.next_ask) ask(i);
    if (node.answer == Answer::Asked && now_ >= node.first_asked + kPatienceTicks) node.answer = Answer::Silent;
    const bool is_no = node.answer == Answer::Refused || node.answer == Answer::Silent;
    node.value_down = is_no && (need == LeaseNeed::Needed || need == LeaseNeed::Stands);
  }

  void ask(int i) {
    using Answer = status::LeaseSection::Answer;
    Node& node = nodes_[i];
    node.next_ask = now_ + kAskTicks;
    if (node.witness_cut || random_() % 4 == 0) {
      if (node.answer == Answer::Refused) node.answer = Answer::Silent;
      return;
    }
    // What has run out keeps the other node away until it is given back.
    if (holder_ == 1 - i) {
      node.answer = Answer::Refused;
      return;
    }
    holder_ = i;
    node.until = now_ + kLeaseTicks;
    node.answer = Answer::Granted;
    node.next_ask = now_ + kLeaseTicks / 3;
  }

  void write(int i) {
    if (!may_acknowledge(i)) return;
    Node& node = nodes_[i];
    const bool mirrored = connected_ && node.mirroring;
    if (!mirrored && !std::exchange(node.alone_noted, true)) node.disk.generation = ++last_generation_;
    if (node.disk.data != acknowledged_) fail("an acknowledged write is missing on the primary");
    node.disk.data = ++acknowledged_;
    if (mirrored) nodes_[1 - i].disk.data = node.disk.data;
  }

  void decide_on(int i) {
    Node& node = nodes_[i];
    Observed seen{.wall_now = WallTime{now_ * 100'000'000}};
    seen.script = {.run = node.script_run, .running = !node.script_finished, .finished = node.script_finished};
    const bool seen_well = node.replica_runs && node.blind_ticks == 0;
    seen.replication = {.configured = true,
                        .order = node.taken,
                        .alive = seen_well,
                        .died = node.replica_died,
                        .settled = seen_well && !node.refused,
                        .up_to_date = node.disk.up_to_date,
                        .inconsistent = node.disk.inconsistent,
                        .ever_synchronised = node.disk.ever,
                        .has_data = node.disk.data > 0,
                        .last_primary = node.disk.last_primary,
                        .connected = seen_well && connected_,
                        .peer_synchronised = seen_well && node.synchronised,
                        .unverified = seen_well && node.unverified,
                        .waiting_for_alone = seen_well && node.waiting,
                        .generation = static_cast<std::uint64_t>(node.disk.generation),
                        .pairing = node.pairing,
                        .problem = node.refused ? "this copy must not be primary" : "",
                        .fatal = node.refused};
    seen.addresses = {.all_set = node.addresses, .all_unset = !node.addresses, .probed = true};
    seen.failover.watched = node.memory.section.watched;
    if (node.rule_down) seen.failover.wait_rules_true = {std::string{kSplitBrainFailure}};
    if (has_witness_) seen.lease = {.witness = desired_[i].witness, .answer = node.answer};
    seen.peer = node.peer;
    seen.operations = std::exchange(node.operations, {});
    seen.elapsed = elapsed(desired_[i], node.memory, seen.wall_now);
    if (see) see(seen);
    Plan plan = decide(desired_[i], seen, node.memory);
    if (change) change(plan);
    node.memory = plan.memory;
    for (const Say& line : plan.lines) note(i, line.text);
    node.paired_mark = plan.memory.section.paired;
    ASSERT_EQ(memory_from_text(to_text(node.memory)).value(), node.memory);
    seen.operations.clear();
    seen.elapsed = elapsed(desired_[i], node.memory, seen.wall_now);
    if (see || change) return;
    EXPECT_EQ(decide(desired_[i], seen, node.memory).memory, node.memory) << "deciding again changed something";
  }

  std::mt19937_64 random_;
  std::array<Desired, 2> desired_{};
  std::array<Node, 2> nodes_{};
  bool connected_{false};
  bool replication_cut_{false};
  bool heartbeats_cut_{false};
  bool has_witness_{false};
  int holder_{-1};  ///< at the witness
  std::string broken_{};
  std::uint64_t last_pairing_{0};
  int last_generation_{0};
  int acknowledged_{0};
  std::vector<std::string> history_{};  ///< the module log of both, for a failure's message
  std::int64_t now_{1};
  std::uint64_t last_id_{0};
};

}  // namespace safekit::role::two_nodes
