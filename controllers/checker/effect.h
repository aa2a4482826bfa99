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

namespace safekit::checker {

/// Runs the tcp, ping and ip checkers while the role says that their class is watched; writes CheckerSection and
/// the resource values `tcp.*`, `ping.*` and `ip.*`, which failover rules test. A service.
class CheckerController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  struct Ports {
    store::Store& store;
    const Clock& clock;
    TcpProbe& tcp;
    EchoProbe& echo;
    Interfaces& interfaces;
  };
  CheckerController(const Ports& ports, Wake wake) : ports_(ports), wake_(std::move(wake)) {}
  [[nodiscard]] std::string_view name() const override { return "checker"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    Memory memory{};
    std::map<std::string, std::pair<std::uint64_t, bool>> answers{};
    std::shared_ptr<const spec::Module> spec{};  ///< of `checks`
    std::vector<Check> checks{};
  };

  void load(const ModuleName& name, Live& live);
  [[nodiscard]] Observed observe(Live& live, const Desired& desired);
  void ask(const std::string& module, const Ask& ask);
  void publish(const ModuleName& name, const Plan& plan);

  Ports ports_;
  Wake wake_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::checker
