#pragma once

#include <functional>
#include <map>
#include <memory>

#include "controllers/simulate/ports.h"
#include "reconciler/peer/transport.h"

namespace safekit::sim {

/// Requests between the safekitds of simulated nodes, of one life of safekitd. What is under way when the network is cut or an
/// end dies is lost, and ends for who asked with Timeout.
class SimTransport final : public peer::Transport {
 public:
  /// The other node's, while it can be reached.
  using Reach = std::function<SimTransport*(const NodeName& from, const NodeName& to)>;
  struct Ports {
    World& world;
    SimLoop& loop;
    NodeName node{};
    Reach reach{};
  };
  explicit SimTransport(Ports ports) : ports_(std::move(ports)) {}
  ~SimTransport() override { *alive_ = false; }
  SimTransport(const SimTransport&) = delete;
  SimTransport& operator=(const SimTransport&) = delete;

  void set_members(const peer::Member&, const std::vector<peer::Member>&) override {}
  void request(const NodeName& peer, const std::string& path, std::string body, Duration limit, peer::ReplyTask reply) override;
  void on_request(Handler handler) override { handler_ = std::move(handler); }
  [[nodiscard]] std::vector<std::string> problems() const override { return {}; }

 private:
  void arrived(const NodeName& from, const std::string& path, std::string body, peer::ReplyTask reply);
  void answered(std::uint64_t id, Result<std::string> reply);
  [[nodiscard]] Duration way() { return ports_.world.between(microseconds{200}, milliseconds{5}); }

  Ports ports_;
  Handler handler_{};
  std::map<std::uint64_t, peer::ReplyTask> waiting_{};
  std::uint64_t last_id_{0};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
};

}  // namespace safekit::sim
