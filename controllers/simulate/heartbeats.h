#pragma once

#include <map>
#include <memory>
#include <optional>

#include "controllers/membership/heartbeats.h"
#include "controllers/simulate/defect.h"
#include "controllers/simulate/ports.h"

namespace safekit::sim {

/// Heartbeats of one life of safekitd over the simulated networks. `carry` brings a datagram to another node, or loses it.
class SimHeartbeats final : public membership::Heartbeats {
 public:
  struct Datagram {
    NodeName from{};
    LanName lan{};
    std::pair<std::int64_t, std::uint64_t> sequence{};  ///< life of the sender, then its own count
    std::shared_ptr<const Bytes> payload{};
  };
  using Carry = std::function<void(const NodeName& to, const Datagram&)>;
  struct Ports {
    World& world;
    SimLoop& loop;
    const SimClock& clock;
    NodeName node{};
    Defect defect{Defect::None};
    Carry carry{};
  };
  explicit SimHeartbeats(Ports ports) : ports_(std::move(ports)), life_(ports_.world.now() + 1) {}
  ~SimHeartbeats() override { *alive_ = false; }

  Status configure(const membership::LinkPlan& plan) override;
  Status publish(Bytes payload) override;
  [[nodiscard]] membership::LinkState state(const LanName& lan, const NodeName& peer) const override;
  [[nodiscard]] std::optional<Bytes> payload(const NodeName& peer) const override;
  void on_change(std::function<void(const NodeName& peer)> task) override { changed_ = std::move(task); }

  void arrived(const Datagram& datagram);

 private:
  struct Peer {
    std::pair<std::int64_t, std::uint64_t> sequence{};
    std::shared_ptr<const Bytes> payload{};
  };
  void beat(std::uint64_t round);
  void send();
  void tell(const NodeName& peer);
  [[nodiscard]] Bytes answered(const Bytes& bytes) const;

  Ports ports_;
  std::int64_t life_;
  membership::LinkPlan plan_{};
  std::map<std::pair<LanName, NodeName>, membership::LinkState> links_{};
  std::map<NodeName, Peer> peers_{};
  std::shared_ptr<const Bytes> payload_{};
  std::uint64_t sequence_{0};
  std::uint64_t round_{0};
  std::optional<MonoTime> last_beat_{};
  std::function<void(const NodeName&)> changed_{};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
};

}  // namespace safekit::sim
