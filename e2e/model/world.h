#pragma once

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "controllers/role/plan.h"
#include "e2e/model/state.h"
#include "e2e/model/table.h"

namespace safekit::model {

struct Options {
  enum class Cuts { None, Stream, All };
  Cuts cuts{Cuts::Stream};
  bool late_heartbeats{false};  ///< one may be on its way to each node while its sender goes on
  std::uint8_t faults{255};     ///< at most; 255: any number
  std::uint8_t commands{255};
  std::vector<Kind> without{};  ///< never happens
  role::Desired::DefaultPrimary default_primary{role::Desired::DefaultPrimary::Alone};
  bool failover{true};
  bool witness{false};  ///< one that grants leases
  /// A rule broken on purpose, to see that it is found: what a node's machine sees, and what it has decided.
  std::function<void(role::Observed&)> see{};
  std::function<void(const role::Memory&, role::Plan&)> plan{};
};

/// Two real role machines (controllers/role decide) and what moves them. The replica, the heartbeats (with the real
/// membership::entry_of and decide) and the scripts are the environment: each may take any time, and any number of heartbeats
/// may be lost. A decision is a pure function, so each is made once and found in a table after that.
///
/// Kept small without changing what can happen: numbers of pairings and generations are renamed in the order in which they
/// are found (only whether two are equal matters), writes are counted by rank, times of the wall by whether every grace time
/// is over. What is only for people (reasons, log lines) is dropped.
///
/// kSplit stands from the moment at which a node takes its living peer for dead, because every link between them is gone (two
/// failures, or one without a second network): until the copies are equal again both may acknowledge writes, each in a
/// generation of its own. A lease-granting witness will forbid that; today the promises about data end there. So they do when
/// a person says `prim`: that copy is the valid one then, and who says it on both nodes at once has two.
class World {
 public:
  explicit World(Options options);

  [[nodiscard]] State initial();
  /// What can happen in this state.
  void actions(const State& state, std::vector<Action>& out);
  /// `broken` says which promise the step has broken; empty: none.
  struct Stepped {
    State state{};
    std::string broken{};
  };
  [[nodiscard]] Stepped step(const State& state, Action action);
  [[nodiscard]] bool is_enabled(const State& state, Action action);
  /// The same, after every fault has ended: all links and nodes are there.
  [[nodiscard]] State healed(const State& state);

  [[nodiscard]] const role::Memory& memory(const State& state, int node) const { return memories_[state.sides[node].memory].value; }
  [[nodiscard]] bool is(const State& state, int node, role::Role role) const;
  [[nodiscard]] bool is_pair(const State& state) const;
  /// Some copy is whole and has every acknowledged write.
  [[nodiscard]] bool has_good_copy(const State& state) const;
  [[nodiscard]] std::string text(const State& state) const;
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] std::string figures() const;
  [[nodiscard]] bool may_acknowledge(const State& state, int node) const;

 private:
  struct Slot {  ///< a pairing that is named: of this node or of its peer
    bool own{false};
    std::uint64_t value{0};
  };
  struct Remembered {
    role::Memory value{};
    std::vector<Slot> slots{};
    bool stops_application{false};  ///< runs stop_prim
  };
  struct Decided {
    std::uint32_t memory{0};
    bool new_script{false};
    bool entered{false};
    bool doubt_began{false};
  };
  struct Key {
    std::uint64_t a{0};
    std::uint64_t b{0};
    std::uint64_t c{0};
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      return (key.a * 0x9e3779b97f4a7c15ULL) ^ (key.b * 0xc2b2ae3d27d4eb4fULL) ^ ((key.c ^ (key.b >> 29)) * 0x165667b19e3779f9ULL);
    }
  };

  [[nodiscard]] Remembered remembered(role::Memory memory) const;
  std::uint32_t number_of(role::Memory memory);
  std::uint32_t number_of(const status::PeerSection& peer);
  std::uint16_t number_of(const status::ReplicaOrder& order);
  [[nodiscard]] bool is_mirrored(const State& state, int node) const;
  [[nodiscard]] status::ReplicationSection replication_of(const State& state, int node) const;
  /// What a heartbeat of the node says now; nothing: it says nothing.
  [[nodiscard]] std::optional<std::uint32_t> said_by(const State& state, int node);
  [[nodiscard]] std::uint32_t silence_of(std::uint32_t heard);
  [[nodiscard]] role::Memory with_times(const Side& side) const;
  Decided decide_once(const State& state, int node, Kind verb);
  void decide(State& state, int node, Kind verb = Kind::Hear);
  void drop_stream(State& state);
  void end_replica(Side& side);
  void take_order(State& state, int node);
  void promote(State& state, int node, bool forced_by_person);
  void move_stream(State& state, Action action);
  void write(State& state, int node);
  void crash(State& state, int node);
  void kill_replica(State& state, int node);
  // The witness (witness.cpp).
  [[nodiscard]] status::LeaseSection::Answer answer_of(const State& state, int node) const;
  [[nodiscard]] status::LeaseNeed need_of(const State& state, int node) const { return memory(state, node).section.lease; }
  [[nodiscard]] bool asks(const State& state, int node) const;
  [[nodiscard]] bool is_value_down(const State& state, int node) const;
  void hear_answer(State& state, int node, status::LeaseSection::Answer answer);
  void see_need(State& state, int node);
  void step_witness(State& state, Action action);
  [[nodiscard]] bool is_taken(const State& state, int node) const;
  [[nodiscard]] std::string lease_text(const State& state, int node) const;
  [[nodiscard]] bool witness_enabled(const State& state, Action action) const;
  [[nodiscard]] bool stream_possible(const State& state, int primary) const;
  [[nodiscard]] bool network_enabled(const State& state, Action action);
  [[nodiscard]] bool system_enabled(const State& state, Action action);
  [[nodiscard]] bool disturbance_enabled(const State& state, Action action) const;
  void check(State& state);

  // Renaming.
  void canonise(State& state);
  void rename_pairings(State& state, int owner);
  void rename_generations(State& state);

  Options options_;
  std::array<role::Desired, 2> desired_{};
  Table<Remembered> memories_{};
  Table<status::PeerSection> heard_{};
  Table<status::ReplicaOrder> orders_{};
  std::unordered_map<Key, Decided, KeyHash> decided_{};
  std::unordered_map<Key, std::optional<std::uint32_t>, KeyHash> said_{};
  std::unordered_map<std::uint32_t, std::uint32_t> silences_{};
  std::string broken_{};
};

}  // namespace safekit::model
