#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "controllers/simulate/defect.h"

namespace safekit::sim {

/// One thing that goes wrong, or that a person does. Times in ms of the world.
struct Fault {
  enum class Kind : std::uint8_t {
    PowerLoss,      ///< of a node, and a boot after `length`
    RestartDaemon,
    PauseDaemon,    ///< for `length`
    CutLan,         ///< a node's link to one of the two networks
    CutAll,         ///< a node from all others
    Lossy,          ///< every other datagram from or to a node is lost
    ClockJump,
    DiskFull,       ///< the state directory's
    PauseNode,      ///< all processes of it, for `length`
    MuteNode,       ///< nothing that it sends arrives
    Part,           ///< a node from all others, and not from the witness
    CutWitness,     ///< of a node
    WitnessDown,    ///< for all
    // Of a module, on the first or second of its nodes by `node`.
    KillReplica,
    PauseReplica,
    CutStream,
    Apply,          ///< a new revision
    Start,
    Stop,
    Swap,
    Restart,
    StopStart,
  };
  Kind kind{Kind::PowerLoss};
  std::uint32_t node{0};
  std::uint32_t which{0};  ///< of the modules, or of the networks
  std::int64_t at{0};
  std::int64_t length{0};
  friend bool operator==(const Fault&, const Fault&) = default;
};
inline constexpr std::size_t kFaultKinds = static_cast<std::size_t>(Fault::Kind::StopStart) + 1;
[[nodiscard]] std::string to_string(const Fault& fault);
[[nodiscard]] constexpr bool is_of_module(Fault::Kind kind) { return kind >= Fault::Kind::KillReplica; }
/// The command of a person that it is; empty: none.
[[nodiscard]] std::string verb_of(Fault::Kind kind);

/// Of all modules of a run.
enum class WitnessKind : std::uint8_t { None, Echo, Lease, Fence };
/// Never do two acknowledge, whatever is cut or stands still.
[[nodiscard]] constexpr bool grants(WitnessKind kind) { return kind >= WitnessKind::Lease; }

/// A mirror module's two nodes; the first one goes first.
using Pair = std::array<std::uint32_t, 2>;

/// What is played. A value.
struct RunPlan {
  std::uint64_t seed{0};
  Defect defect{Defect::None};
  std::uint32_t nodes{2};
  std::vector<Pair> modules{{0, 1}};
  WitnessKind witness{WitnessKind::None};
  std::vector<Fault> faults{};
  friend bool operator==(const RunPlan&, const RunPlan&) = default;
};
/// A swarm: each seed has its own few kinds of faults, so that rare combinations are not drowned. Most seeds have two nodes and
/// one module; the others two that are active for each other, a spare node for several, or a ring, of up to five nodes.
[[nodiscard]] RunPlan plan_of(std::uint64_t seed, Defect defect);

/// The plans with one thing less, the greatest one first.
[[nodiscard]] std::vector<RunPlan> smaller(const RunPlan& plan);

}  // namespace safekit::sim
