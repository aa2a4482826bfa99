#pragma once

#include <functional>
#include <map>
#include <string>

#include "controllers/vip/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"

namespace safekit::vip {

/// Sets, announces and removes the virtual addresses of mirror modules; writes AddressSection. What it has
/// set is in the fact `vip/<module>`, so that a new safekitd neither takes an address down and up again nor
/// forgets one. A service.
class VipController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  VipController(store::Store& store, const Clock& clock, Interfaces& interfaces, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "vip"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    bool loaded{false};
    Memory memory{};
  };

  [[nodiscard]] Desired desire(const ModuleName& name) const;
  void load(const std::string& module, Live& live);
  Status remember(const std::string& module, Live& live, const Memory& memory);
  /// Whether an address was set or removed: the next pass has something else to see.
  Result<bool> apply(const std::string& module, const Action& action);
  void ask(const std::string& module, const AskOwner& question);

  store::Store& store_;
  const Clock& clock_;
  Interfaces& interfaces_;
  Wake wake_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::vip
