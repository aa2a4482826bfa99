#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/checker/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/interfaces.h"
#include "schema/port/network.h"
#include "schema/port/witness.h"

namespace safekit::checker {

/// Runs the checkers while the role says that their class is watched; writes CheckerSection and the resource values
/// of their classes, which failover rules test. A service.
class CheckerController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  struct Ports {
    store::Store& store;
    const Clock& clock;
    TcpProbe& tcp;
    EchoProbe& echo;
    Witness& witness;
    Interfaces& interfaces;
  };
  CheckerController(const Ports& ports, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "checker"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    Memory memory{};
    Observed observed{};                         ///< gathered for the next pass
    std::shared_ptr<const spec::Module> spec{};  ///< of `desired`
    Desired desired{};
  };

  void load(const ModuleName& name, Live& live);
  void find_links(Live& live);
  void ask(const std::string& module, const std::vector<Ask>& asks);
  void ask_witnesses(const std::string& module, const Ask& question);
  void look_at_interfaces(const std::vector<Ask>& asks, Live& live);
  void publish(const ModuleName& name, const Live& live, const Plan& plan);

  Ports ports_;
  Wake wake_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::checker
