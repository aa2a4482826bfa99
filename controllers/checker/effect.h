#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/checker/conflicts.h"
#include "controllers/checker/module_probe.h"
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
    ModuleProbe& modules;
  };
  CheckerController(const Ports& ports, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "checker"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct AddressWatch {
    std::uint64_t asked{0};  ///< the search under way; 0: none
    MonoTime due{};          ///< of the next one
    std::optional<Conflict> found{};
  };
  struct Live {
    Memory memory{};
    Observed observed{};                         ///< gathered for the next pass
    std::shared_ptr<const spec::Module> spec{};  ///< of `desired`
    Desired desired{};
    std::map<std::string, std::string> problems{};  ///< of module checks, by resource: told
    std::map<std::string, AddressWatch> addresses{};  ///< of ip checks, by resource; only what is watched
  };

  void load(const ModuleName& name, Live& live);
  void find_links(Live& live);
  void ask(const std::string& module, const std::vector<Ask>& asks);
  void ask_witnesses(const std::string& module, const Ask& question);
  void ask_module(const std::string& module, const Ask& question);
  void look_at_interfaces(const std::string& module, const std::vector<Ask>& asks, Live& live);
  void look_for_conflict(const std::string& module, const Check& check, const std::vector<Interface>& interfaces, Live& live);
  void note_conflict(const std::string& module, const std::string& resource, std::uint64_t number, const std::optional<Conflict>& found);
  void publish(const ModuleName& name, const Live& live, const Plan& plan);

  Ports ports_;
  Wake wake_;
  std::uint64_t searches_{0};
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::checker
