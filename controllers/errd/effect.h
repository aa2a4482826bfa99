#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/errd/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"

namespace safekit::errd {

/// Watches the processes of a module while the role says that their class is watched; writes ErrdSection and
/// the resource values `proc.*`. The role controller acts upon ErrdSection::request. A service.
class ErrdController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  ErrdController(store::Store& store, const Clock& clock, Processes& processes, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "errd"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    bool loaded{false};
    Memory memory{};
    bool something_ended{false};
    std::shared_ptr<const spec::Module> spec{};  ///< of `targets`
    Targets targets{};
    std::map<std::int32_t, std::pair<ProcessIdentity, std::uint64_t>>
        watches{};  ///< by process, with the watch's id
  };

  void load(const std::string& module, Live& live);
  void refresh_targets(const ModuleName& name, Live& live);
  Result<std::map<std::string, Found>> scan(const Live& live);
  void watch(const std::string& module, Live& live, const std::map<std::string, Found>& found);
  void publish(const ModuleName& name, const Live& live, const Plan& plan);

  store::Store& store_;
  const Clock& clock_;
  Processes& processes_;
  Wake wake_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::errd
