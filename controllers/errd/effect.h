#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "controllers/errd/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/process.h"
#include "schema/port/units.h"

namespace safekit::errd {

/// Watches the processes and services of a module while their class is enabled; writes ErrdSection and
/// the resource values `proc.*`. The role controller acts upon ErrdSection::request, the script controller runs
/// ErrdSection::handlers. A service.
class ErrdController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  struct Ports {
    store::Store& store;
    const Clock& clock;
    Processes& processes;
    Units& units;
  };
  ErrdController(const Ports& ports, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "errd"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

  /// Enables or disables a class of the author's own, until the module stops. Errors: Invalid for a class that is none, Conflict
  /// for a module that is stopped.
  Status set_class(const ModuleName& module, const std::string& watch_class, bool enabled);
  [[nodiscard]] std::set<std::string> classes(const std::string& module) const;

 private:
  struct Live {
    bool loaded{false};
    Memory memory{};
    std::set<std::string> classes{};  ///< of the author's own, enabled; kept over a restart of safekitd
    News news{};                      ///< gathered for the next pass
    std::shared_ptr<const spec::Module> spec{};  ///< of `targets`
    Targets targets{};
    std::map<std::int32_t, ProcessInfo> table{};  ///< processes that match some target
    std::map<std::int32_t, std::pair<ProcessIdentity, std::uint64_t>>
        watches{};  ///< by process, with the watch's id
    std::map<std::string, std::uint64_t> units{};  ///< followed, with the watch's id
    std::string units_problem{};                   ///< told
  };

  void load(const std::string& module, Live& live);
  Status save(const std::string& module, const Live& live);
  void refresh_targets(const ModuleName& name, Live& live);
  [[nodiscard]] Desired desire(const ModuleName& name, const Live& live) const;
  Result<Observed> observe(const ModuleName& name, const Preparation& preparation, Live& live);
  void watch(const std::string& module, Live& live, const std::map<std::string, Found>& found);
  void follow_units(const std::string& module, Live& live);
  void listen();
  void hear(const std::vector<ProcessEvent>& events);
  void note(const std::string& module, Live& live, std::int32_t pid, const Result<ProcessInfo>& info);
  void publish(const ModuleName& name, const Live& live, const Plan& plan);

  Ports ports_;
  Wake wake_;
  bool is_listening_{false};
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::errd
