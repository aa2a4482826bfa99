#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

/// One state of the model: two nodes, their replicas, and what is between them. What is large and repeats itself (the role
/// machine's Memory, what was heard of the peer, an order) stands in tables and is named here by its number (world.h).
namespace safekit::model {

/// Of a Side.
enum Flag : std::uint16_t {
  kUp = 1 << 0,
  kScriptEnded = 1 << 1,   ///< the script that is ordered has ended
  kRuns = 1 << 2,          ///< the replica's process
  kDied = 1 << 3,
  kGranted = 1 << 4,       ///< it acknowledges by itself
  kWaiting = 1 << 5,       ///< the peer is lost, and writers wait for the permission to go on
  kMirroring = 1 << 6,     ///< it acknowledges only what the peer has
  kNoted = 1 << 7,         ///< this period alone has its data generation
  kSynchronised = 1 << 8,  ///< the pair is complete, as this side knows it
  kUnverified = 1 << 9,    ///< a secondary's: and is still compared
  kRefused = 1 << 10,      ///< told to be primary with a copy that must not be
  kBlind = 1 << 11,        ///< a new safekitd has not found the replica again
  kAddresses = 1 << 12,
  kLate = 1 << 13,         ///< the state was entered longer ago than every grace time
  kDoubtLate = 1 << 14,    ///< and the doubt (Memory::doubted) began longer ago
};

/// Of a copy, durable.
enum Mark : std::uint8_t {
  kUpToDate = 1 << 0,
  kInconsistent = 1 << 1,
  kEver = 1 << 2,
  kLastPrimary = 1 << 3,
};

/// Between the nodes.
enum Net : std::uint8_t {
  kConnected = 1 << 0,      ///< the replication stream lives
  kStreamCut = 1 << 1,
  kHeartbeatsCut = 1 << 2,
  kSplit = 1 << 3,          ///< all links were cut since the last synchronisation: see World
  kHeldBy0 = 1 << 4,        ///< the witness has granted its lease to the first node, and it has not been given back
  kHeldBy1 = 1 << 5,
};

/// Of a node and the witness. The answer (status::LeaseSection::Answer) is in the low bits.
enum LeaseFlag : std::uint8_t {
  kAnswer = 7,
  kBelieved = 1 << 3,     ///< its own `until` has not come: what acts by the lease may
  kValueDown = 1 << 4,    ///< `splitbrain.uptodate` is `down`
  kRuleDown = 1 << 5,     ///< and failover has judged it
  kWitnessCut = 1 << 6,
};

struct Side {
  std::uint32_t memory{0};
  std::uint32_t heard{0};   ///< of the peer
  std::uint32_t flying{0};  ///< a heartbeat on its way to this node; 0: none
  std::uint16_t taken{0};   ///< the last order that the replica acted upon
  std::uint16_t flags{0};
  std::uint8_t marks{0};
  std::uint8_t generation{0};
  std::uint8_t data{0};     ///< number of the last write in it, by rank
  std::uint8_t pairing{0};
  friend bool operator==(const Side&, const Side&) = default;
};

struct State {
  std::array<Side, 2> sides{};
  std::uint8_t net{0};
  std::uint8_t acknowledged{0};  ///< the last write that was, by rank
  std::uint8_t faults{0};        ///< that may still happen
  std::uint8_t commands{0};      ///< that may still be given
  std::array<std::uint8_t, 2> leases{};  ///< LeaseFlag
  std::uint16_t unused{0};
  friend bool operator==(const State&, const State&) = default;
};
static_assert(sizeof(State) == 48, "no padding: it is hashed as bytes");

[[nodiscard]] constexpr bool has(const Side& side, Flag flag) { return (side.flags & flag) != 0; }
[[nodiscard]] constexpr bool has(const Side& side, Mark mark) { return (side.marks & mark) != 0; }
[[nodiscard]] constexpr bool has(const State& state, Net net) { return (state.net & net) != 0; }
[[nodiscard]] constexpr bool has(const State& state, int node, LeaseFlag flag) {
  return (state.leases[static_cast<std::size_t>(node)] & flag) != 0;
}
constexpr void set(State& state, int node, LeaseFlag flag, bool value) {
  auto& lease = state.leases[static_cast<std::size_t>(node)];
  lease = static_cast<std::uint8_t>(value ? lease | flag : lease & ~flag);
}
[[nodiscard]] constexpr Net held_by(int node) { return node == 0 ? kHeldBy0 : kHeldBy1; }
constexpr void set(Side& side, Flag flag, bool value) {
  side.flags = static_cast<std::uint16_t>(value ? side.flags | flag : side.flags & ~flag);
}
constexpr void set(Side& side, Mark mark, bool value) {
  side.marks = static_cast<std::uint8_t>(value ? side.marks | mark : side.marks & ~mark);
}
constexpr void set(State& state, Net net, bool value) {
  state.net = static_cast<std::uint8_t>(value ? state.net | net : state.net & ~net);
}

[[nodiscard]] std::uint64_t hash_of(const State& state);

/// What can happen next. All but the faults and commands are the system at work.
enum class Kind : std::uint8_t {
  Send,        ///< a heartbeat leaves the peer for this node
  Hear,        ///< it arrives; where none is kept on its way, both at once
  Silence,     ///< every heartbeat is lost
  EndScript,
  TakeOrder,   ///< the replica acts upon its order
  Connect,     ///< the stream begins with a synchronisation
  ConnectSame, ///< the copies are known to be equal
  EndSync,     ///< the copy of this secondary is complete
  LearnEnd,    ///< and this primary hears it
  Verified,
  Write,       ///< a client's write is acknowledged
  TimePasses,
  FindReplica, ///< a new safekitd speaks to the replica again
  SeeNeed,     ///< the lease controller acts upon RoleSection::lease
  Answered,    ///< the witness answers: it grants what is free, and refuses what the other node has
  Unanswered,  ///< it is not reached, and no longer waited for
  Judge,       ///< failover takes up `splitbrain.uptodate`
  LeaseEnds,   ///< as its holder counts
  GiveBack,    ///< the witness is told that the pair is complete
  // Faults.
  Crash,
  Boot,
  RestartDaemon,
  KillReplica,
  CutStream,
  CutHeartbeats,
  CutWitness,
  HealWitness,
  HealStream,
  HealHeartbeats,
  // Commands.
  Start,
  Stop,
  StopStart,
  Swap,
  Restart,
  Prim,
  PrimForce,
  Second,
  ForceStop,
};
inline constexpr Kind kKindLast = Kind::ForceStop;
[[nodiscard]] std::string_view to_string(Kind kind);
[[nodiscard]] constexpr bool is_fault(Kind kind) { return kind >= Kind::Crash && kind <= Kind::HealHeartbeats; }
/// Takes from State::faults; what ends a fault does not.
[[nodiscard]] constexpr bool is_counted(Kind kind) {
  return is_fault(kind) && kind != Kind::Boot && kind != Kind::HealWitness && kind != Kind::HealStream && kind != Kind::HealHeartbeats;
}
[[nodiscard]] constexpr bool is_command(Kind kind) { return kind >= Kind::Start; }

struct Action {
  Kind kind{Kind::Hear};
  std::uint8_t node{0};
  friend bool operator==(const Action&, const Action&) = default;
};

}  // namespace safekit::model
