#pragma once

#include <string>

#include "controllers/watchdog/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/watchdog.h"

namespace safekit::watchdog {

/// Lets a watchdog count while a module is started on this node, and feeds it: what keeps the reconcile loop from turning for the limit
/// resets the node. Tells of it in events of the node; writes the condition `WatchdogCounts` of each module of this node while it cannot
/// be had. A service.
class WatchdogController final : public engine::Controller {
 public:
  struct Ports {
    store::Store& store;
    const Clock& clock;
    Watchdog& watchdog;
  };
  /// `boot`: another one with each boot. That the device counts is in the fact `watchdog`: the next safekitd has to feed it or to stop it.
  WatchdogController(const Ports& ports, Duration limit, std::string boot);
  /// In order: by a person, or for a new version. A process that dies leaves it counting.
  ~WatchdogController() override;
  WatchdogController(const WatchdogController&) = delete;
  WatchdogController& operator=(const WatchdogController&) = delete;
  [[nodiscard]] std::string_view name() const override { return "watchdog"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  [[nodiscard]] bool is_needed() const;
  void begin();
  void feed();
  void end();
  void tell(char level, const std::string& text);
  void publish();

  Ports ports_;
  Duration limit_;
  std::string boot_;
  Observed observed_{};
  std::string problem_{};  ///< empty: none
};

}  // namespace safekit::watchdog
