#pragma once

#include <memory>
#include <optional>

#include "controllers/simulate/node.h"
#include "e2e/sim/plan.h"

namespace safekit::sim {

struct Outcome {
  std::string broken{};  ///< which promise; empty: none
  std::uint64_t digest{0};
  std::uint64_t events{0};
  std::int64_t simulated{0};  ///< ns
  std::uint64_t acknowledged{0};
  std::vector<std::string> lines{};
};
[[nodiscard]] Outcome run(const RunPlan& plan, bool keep_lines);
/// Without the modules, nodes and faults that it fails without as well.
[[nodiscard]] RunPlan minimised(RunPlan plan);

/// Two to five nodes with mirror modules, each on a pair of them, and the promises of design.md 1, looked at while it runs:
/// - a copy that lacks an acknowledged write is not promoted, and no write is acknowledged beside one that is missing;
/// - two nodes never acknowledge writes of a module at once, and none takes a living peer for dead;
/// - when the faults are over each pair is there again and takes writes, or no copy is good and both wait for a person;
/// - and has one revision of its module, or both nodes say that theirs are in conflict;
/// - `stop` ends in STOP on both.
/// Without a witness that grants leases, while a node takes its living peer for dead because every link is cut or something there stands
/// still, the first two do not hold for their module: from then on, until the copies are equal again. With one they always do, and never
/// do both nodes answer at the virtual address.
class Cluster {
 public:
  explicit Cluster(const RunPlan& plan, bool keep_lines);
  Outcome run();

 private:
  /// A module as the world sees it.
  struct Service {
    std::string name{};
    Pair pair{};
    IpAddress address{};
    int stream_cut{0};
    std::int64_t excused_until{0};
    bool split{false};
    std::vector<std::uint32_t> acknowledged{};  ///< writes
    std::int64_t both_addresses_since{-1};
    std::uint64_t count{0};            ///< of acknowledged writes, ever
    std::uint64_t count_at_healing{0};
    std::uint32_t revision{0};
  };
  /// A node's links, as numbers of what cuts them.
  struct Links {
    std::array<int, 2> lans{};
    int all{0};
    int lossy{0};
    int parted{0};  ///< of `all`, those that leave the witness in reach
    int muted{0};
    int witness{0};
  };

  void make_node(std::uint32_t number);
  void inflict(const Fault& fault);
  void inflict_on_module(const Fault& fault, Service& service);
  void cut_lan(std::uint32_t node, std::uint32_t lan, Duration length);
  void cut_all(std::uint32_t node, Duration length);
  void mute(std::uint32_t node, Duration length);
  void fence(Node& by, ProcessIdentity program, const std::vector<std::string>& argv);
  [[nodiscard]] std::int64_t drift();
  [[nodiscard]] bool reaches_witness(std::uint32_t node) const;
  [[nodiscard]] bool is_leased() const { return grants(plan_.witness); }
  void carry(const NodeName& from, const NodeName& to, const SimHeartbeats::Datagram& datagram);
  [[nodiscard]] bool are_linked(std::uint32_t one, std::uint32_t two, std::uint32_t lan) const;
  [[nodiscard]] SimTransport* reach(const NodeName& from, const NodeName& to) const;
  [[nodiscard]] Replica* peer_replica(const Node& node, const std::string& module);
  void lose_stream(const Service& service);
  void acknowledged(const Node& node, const std::string& module, std::uint32_t number);
  void promoting(const Node& node, const std::string& module);
  void end_split(Service& service);
  void check();
  void look_for_split(Service& service);
  void look_for_addresses(Service& service);
  void settle();
  void start_stopped();
  [[nodiscard]] bool is_settled(const Service& service) const;
  [[nodiscard]] bool waits_for_a_person(const Service& service) const;
  [[nodiscard]] bool agrees(const Service& service) const;
  void stop_all();
  void advance(Duration by);
  void fail(const Service& service, std::string_view what);
  [[nodiscard]] bool excused(const Service& service) const { return world_.now() < service.excused_until; }
  void excuse(std::uint32_t node, Duration how_long);
  [[nodiscard]] Service& service_of(const std::string& module);
  [[nodiscard]] Node& at(const Service& service, std::size_t side) const { return *nodes_[service.pair[side]]; }
  [[nodiscard]] Node& other(const Service& service, const Node& node) const { return at(service, &at(service, 0) == &node ? 1 : 0); }
  [[nodiscard]] static bool has_everything(const Service& service, const Copy& copy);
  [[nodiscard]] bool is_pair(const Service& service) const;
  [[nodiscard]] std::string text(const Service& service) const;

  RunPlan plan_;
  World world_;
  std::vector<Service> services_{};
  std::vector<Links> links_{};
  std::vector<std::unique_ptr<Node>> nodes_{};
  std::shared_ptr<SimLeases> leases_{std::make_shared<SimLeases>()};
  int witness_down_{0};
  std::uint32_t last_write_{0};
  std::string broken_{};
};

}  // namespace safekit::sim
