#pragma once

#include <memory>
#include <set>

#include "controllers/membership/heartbeats.h"
#include "datapath/heartbeat/service.h"

namespace safekit::membership {

/// Heartbeats by the real service. The service needs the cluster's key, which a new node does not have yet:
/// until `use`, nothing is sent or heard, and what was asked for meanwhile is then done. A service.
class ServiceHeartbeats final : public Heartbeats {
 public:
  /// Also replaces one service by another (a new key).
  void use(std::unique_ptr<heartbeat::HeartbeatService> service);

  Status configure(const LinkPlan& plan) override;
  Status publish(Bytes payload) override;
  [[nodiscard]] LinkState state(const LanName& lan, const NodeName& peer) const override;
  [[nodiscard]] std::optional<Bytes> payload(const NodeName& peer) const override;
  /// Local addresses on which another program has the port.
  [[nodiscard]] std::set<std::string> taken_addresses() const;
  [[nodiscard]] std::uint16_t port() const { return plan_.port; }
  void on_change(std::function<void(const NodeName& peer)> task) override { task_ = std::move(task); }

 private:
  Status apply();

  std::unique_ptr<heartbeat::HeartbeatService> service_{};
  LinkPlan plan_{};
  std::optional<Bytes> payload_{};
  std::function<void(const NodeName& peer)> task_{};
};

}  // namespace safekit::membership
