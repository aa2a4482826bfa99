#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controllers/failover/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/spec/module.h"

namespace safekit::failover {

/// Evaluates the failover rules of each module when a resource has changed; writes FailoverSection. The role
/// controller acts upon it. A service.
class FailoverController final : public engine::Controller {
 public:
  FailoverController(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  [[nodiscard]] std::string_view name() const override { return "failover"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    bool loaded{false};
    Memory memory{};
    std::shared_ptr<const spec::Module> spec{};  ///< of `desired`
    Desired desired{};
    std::optional<Observed> seen{};  ///< what the last pass has decided and told upon
    std::optional<MonoTime> due{};   ///< when time alone changes something
    Duration period{};               ///< evaluations are no closer
    std::optional<MonoTime> evaluated{};
  };

  void load(const ModuleName& name, Live& live);
  void publish(const ModuleName& name, const Plan& plan);

  store::Store& store_;
  const Clock& clock_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::failover
