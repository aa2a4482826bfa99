#pragma once

#include <optional>
#include <set>

#include "e2e/sim/node.h"

namespace safekit::sim {

/// One thing that goes wrong, or that a person does. Times in ms of the world.
struct Fault {
  enum class Kind : std::uint8_t {
    PowerLoss,      ///< and a boot after `length`
    KillReplica,
    RestartDaemon,
    PauseDaemon,    ///< for `length`
    CutStream,
    CutLan,         ///< the first or second network, by `node`
    CutAll,
    Lossy,          ///< every other datagram is lost
    ClockJump,
    DiskFull,
    Start,
    Stop,
    Swap,
    Restart,
    StopStart,
  };
  Kind kind{Kind::PowerLoss};
  std::uint32_t node{0};
  std::int64_t at{0};
  std::int64_t length{0};
  friend bool operator==(const Fault&, const Fault&) = default;
};
inline constexpr std::size_t kFaultKinds = static_cast<std::size_t>(Fault::Kind::StopStart) + 1;
[[nodiscard]] std::string to_string(const Fault& fault);

struct RunPlan {
  std::uint64_t seed{0};
  Defect defect{Defect::None};
  std::vector<Fault> faults{};
};
/// A swarm: each seed has its own few kinds of faults, so that rare combinations are not drowned.
[[nodiscard]] RunPlan plan_of(std::uint64_t seed, Defect defect);

struct Outcome {
  std::string broken{};  ///< which promise; empty: none
  std::uint64_t digest{0};
  std::uint64_t events{0};
  std::int64_t simulated{0};  ///< ns
  std::uint64_t acknowledged{0};
  std::vector<std::string> lines{};
};
[[nodiscard]] Outcome run(const RunPlan& plan, bool keep_lines);
/// Without the faults that it fails without as well.
[[nodiscard]] RunPlan minimised(RunPlan plan);

/// Two nodes with one mirror module, and the promises of design.md 1, looked at while it runs:
/// - a copy that lacks an acknowledged write is not promoted, and no write is acknowledged beside one that is missing;
/// - two nodes never acknowledge writes at once, and none takes a living peer for dead;
/// - when the faults are over the pair is there again and takes writes, or no copy is good and both wait for a person;
/// - `stop` ends in STOP on both.
/// While a node takes its living peer for dead because every link is cut or safekitd there stands still (no witness yet), the first
/// two do not hold: from then on, until the copies are equal again.
class Cluster {
 public:
  explicit Cluster(const RunPlan& plan, bool keep_lines);
  Outcome run();

 private:
  void inflict(const Fault& fault);
  void carry(const NodeName& from, const NodeName& to, const SimHeartbeats::Datagram& datagram);
  void cut_stream(bool cut);
  void acknowledged(const Node& node, std::uint32_t number);
  void promoting(const Node& node);
  void end_split();
  void check();
  void look_for_split();
  void settle();
  void stop_all();
  void advance(Duration by);
  void fail(std::string what);
  [[nodiscard]] bool excused() const { return world_.now() < excused_until_; }
  void excuse(Duration how_long);
  [[nodiscard]] Node& other(const Node& node) { return *nodes_[nodes_[0].get() == &node ? 1 : 0]; }
  [[nodiscard]] bool has_everything(const Copy& copy) const;
  [[nodiscard]] bool is_pair() const;
  [[nodiscard]] std::string text() const;

  RunPlan plan_;
  World world_;
  std::vector<std::unique_ptr<Node>> nodes_{};
  std::array<int, 2> lan_cut_{};
  int stream_cut_{0};
  int lossy_{0};
  std::int64_t excused_until_{0};
  bool split_{false};
  std::uint32_t last_write_{0};
  std::vector<std::uint32_t> acknowledged_{};
  std::uint64_t acknowledged_count_{0};
  std::int64_t both_addresses_since_{-1};
  std::string broken_{};
};

}  // namespace safekit::sim
