#pragma once

#include <functional>
#include <map>

#include "controllers/role/move_watch.h"
#include "controllers/role/plan.h"
#include "controllers/role/sync_at.h"
#include "controllers/role/synced.h"
#include "reconciler/engine/controller.h"
#include "schema/port/clock.h"
#include "schema/port/power.h"

namespace safekit::role {

/// Runs `decide` for each module and stores what it says: RoleSection, module log, finished operations, conditions, and
/// Memory as a fact, so that a restarted daemon goes on where this one was. A service.
class RoleController final : public engine::Controller {
 public:
  struct Ports {
    store::Store& store;
    const Clock& clock;
    Power& power;
  };
  /// `wake` makes the engine call `reconcile`. `boot` names this boot of the node: a state kept from another boot is history,
  /// nothing of it runs any more.
  RoleController(const Ports& ports, std::string boot, LocalTime local, std::function<void(const engine::Request&)> wake);

  /// Takes the kept state of every local module up. Must run before anything is told to the peer: a module that runs
  /// here and looks stopped over there would be taken over.
  void adopt();

  [[nodiscard]] std::string_view name() const override { return "role"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  Memory& memory_of(const ModuleName& module);
  Status keep(const ModuleName& module, const Memory& before, const Memory& after);
  Result<SyncedStep> note_synced(const ModuleName& module, const Desired& desired, const Observed& observed, const Memory& memory);
  std::optional<Duration> note_dates(const Desired& desired, const Memory& memory, Observed& observed) const;
  void publish(const ModuleName& module, const Desired& desired, const Memory& memory, const SyncedStep& synced);

  void note_move(const ModuleName& module, const Memory& before, const Memory& after, const Observed& observed);
  Status reboot(const ModuleName& module, const Memory& memory);
  void reboot_failed(const std::string& why);

  store::Store& store_;
  const Clock& clock_;
  Power& power_;
  std::string boot_;
  LocalTime local_;
  std::function<void(const engine::Request&)> wake_;
  bool rebooting_{false};
  std::map<ModuleName, Memory> memories_{};
  std::map<ModuleName, MoveWatch> moves_{};  ///< not kept: a move in the midst of which safekitd dies has no time line
};

/// The part of a module's spec that roles depend on, for this node. `module` may be null: deleted.
[[nodiscard]] Desired desired_of(const spec::Module* module, const NodeName& node, std::uint64_t generation);

}  // namespace safekit::role
