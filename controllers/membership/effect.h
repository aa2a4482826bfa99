#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/membership/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"

namespace safekit::membership {

/// Feeds the heartbeat service with links and payload, and writes PeerSection and the resource values
/// `heartbeat.*` and `state.remote` of every mirror module here. Key `cluster`: links and payload; key of a
/// module: its peer as well. A service.
class MembershipController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  MembershipController(store::Store& store, const Clock& clock, Heartbeats& heartbeats, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "membership"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

  /// After a restart nothing is sent until every module's controllers have found their state again, so that a
  /// peer does not take a module that runs for a stopped one; but one module that cannot must not silence the
  /// others.
  static constexpr Duration kWithholdMax = seconds{5};

 private:
  [[nodiscard]] std::vector<std::shared_ptr<const spec::Module>> mirrors() const;
  Status refresh_links(const std::vector<std::shared_ptr<const spec::Module>>& modules);
  Status refresh_payload(const std::vector<std::shared_ptr<const spec::Module>>& modules);
  [[nodiscard]] Plan plan_of(const ModuleName& name, const spec::Module& module);
  [[nodiscard]] LinkState state_of(const LanName& lan, const NodeName& peer);
  [[nodiscard]] const std::vector<rule::Rule>& rules_of(const std::shared_ptr<const spec::Module>& module);
  void publish(const ModuleName& name, const Plan& plan);
  void peer_changed(const NodeName& peer);

  store::Store& store_;
  const Clock& clock_;
  Heartbeats& heartbeats_;
  Wake wake_;
  MonoTime started_;
  LinkPlan links_{};
  std::vector<std::string> problems_{};
  std::map<std::string, ModuleEntry> entries_{};  ///< the last one of each module
  struct Rules {
    std::shared_ptr<const spec::Module> of{};
    std::vector<rule::Rule> rules{};
  };
  std::map<std::string, Rules> rules_{};
  Bytes published_{};
  std::map<std::pair<LanName, NodeName>, MonoTime> deaf_{};  ///< until when this node could not hear on a link
};

}  // namespace safekit::membership
