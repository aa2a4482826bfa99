#pragma once

#include <string>

#include "controllers/boot/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"

namespace safekit::boot {

/// Submits the operation `start` for modules that are to be started at boot, and notes durably which ones
/// run. A service.
class BootController final : public engine::Controller {
 public:
  /// `boot_id`: /proc/sys/kernel/random/boot_id.
  BootController(store::Store& store, const Clock& clock, std::string boot_id);
  [[nodiscard]] std::string_view name() const override { return "boot"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;
  /// The machine goes down: what is stopped from now on still counts as started before the reboot.
  void hold() { held_ = true; }

 private:
  store::Store& store_;
  const Clock& clock_;
  std::string boot_id_;
  MonoTime started_;
  bool held_{false};
};

}  // namespace safekit::boot
