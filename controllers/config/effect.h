#pragma once

#include "controllers/config/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"

namespace safekit::config {

/// Writes the conditions `ConfigConflict` and `NotHonoured` of each module here. A service.
class ConfigController final : public engine::Controller {
 public:
  ConfigController(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  [[nodiscard]] std::string_view name() const override { return "config"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  store::Store& store_;
  const Clock& clock_;
};

}  // namespace safekit::config
