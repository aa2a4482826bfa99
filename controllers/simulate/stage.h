#pragma once

#include <functional>
#include <memory>
#include <set>

#include "controllers/simulate/forecast.h"
#include "controllers/simulate/node.h"

namespace safekit::sim {

/// The two nodes of a forecast, and the networks between them. A service.
class Stage {
 public:
  Stage(const Situation& situation, std::vector<std::string>& notes);

  /// Commands and failures until the nodes are as they are now. Errors: Conflict when that is not reached.
  Status set_up();
  void advance(Duration by);
  /// False: not within the limit.
  bool until(const std::function<bool()>& reached, Duration limit);

  void cut(const LanName& lan);
  void cut_all();
  void silence(std::size_t side, const std::string& host, std::uint16_t port) { dead_[side].emplace(host, port); }
  void set_checker(std::size_t side, const std::string& resource);  ///< down
  void apply(const spec::Module& spec);

  [[nodiscard]] Node& node(std::size_t side) { return *nodes_[side]; }
  [[nodiscard]] std::size_t side_of(const NodeName& name) const { return situation_.nodes[0].name == name ? 0 : 1; }
  [[nodiscard]] const std::string& module() const { return name_; }
  [[nodiscard]] World& world() { return world_; }
  /// `PRIM Ready`; `off` without power.
  [[nodiscard]] std::string state(std::size_t side) const;
  [[nodiscard]] bool is_transient() const;
  /// An application runs, has the addresses, and its writes are answered.
  [[nodiscard]] bool serves();
  std::function<void(const NodeName&, const status::Event&)> on_event{};

 private:
  void make_node(std::size_t side, const std::string& spec, const std::vector<Program>& programs);
  void carry(const NodeName& from, const NodeName& to, const SimHeartbeats::Datagram& datagram);
  [[nodiscard]] bool are_linked(const LanName& lan) const { return !cut_.contains(lan); }
  [[nodiscard]] bool are_linked() const;
  [[nodiscard]] bool is(std::size_t side, status::Role role) const;
  bool pair_up(std::size_t first);
  bool stop(std::size_t side);
  bool set_up_served(std::size_t primary);
  bool set_up_unserved();

  const Situation& situation_;
  std::string name_;
  LanName stream_lan_{};
  World world_{1, true};
  std::set<LanName> cut_{};
  std::array<std::set<std::pair<std::string, std::uint16_t>>, 2> dead_{};
  std::shared_ptr<SimLeases> leases_{std::make_shared<SimLeases>()};
  std::vector<IpAddress> addresses_{};
  std::array<std::unique_ptr<Node>, 2> nodes_{};
  std::uint32_t last_write_{0};
};

/// What can be played of it: without processes that are known by a pattern or as a service, and without checkers that are
/// programs or ask for other modules.
[[nodiscard]] spec::Module playable(spec::Module spec, std::vector<std::string>& notes);

}  // namespace safekit::sim
