#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/script/plan.h"
#include "controllers/script/program_runner.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"
#include "schema/port/process.h"

namespace safekit::script {

struct Paths {
  std::string state_dir{};
  std::string program_dir{};                     ///< where safekit and safekit-runner are
  std::vector<std::string> extra_environment{};  ///< NAME=value for every script of this node
};

/// Runs the scripts that RoleSection::script orders, and the programs of checkers; writes ScriptSection. A script runs under
/// `safekit-runner` in a session of its own: it does not notice that safekitd goes away, and a new safekitd
/// finds it by the stored fact `script/<module>` (written before the start) and the runner's status file. A
/// service.
class ScriptController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  ScriptController(store::Store& store, const Clock& clock, Processes& processes, Files& files, Wake wake,
                   Paths paths);
  [[nodiscard]] std::string_view name() const override { return "script"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    bool loaded{false};
    bool role_known{false};  ///< the role has spoken of the module in this life of safekitd
    std::optional<Record> record{};
    std::uint64_t watch{0};  ///< of a process found again; 0: the start's own callback tells
    std::shared_ptr<const spec::Module> materialised{};
  };

  void load(const std::string& module, Live& live);
  Status observe(const std::string& module, Live& live);
  Status watch(const std::string& module, Live& live, ProcessIdentity process);
  void finish(const std::string& module, Live& live, const RunnerStatus& status);
  Status apply(const std::string& module, Live& live, const Action& action);
  Status materialise(const std::string& module, Live& live);
  Status replace_if_new(const std::string& path, const std::string& text, std::uint32_t mode);
  Status start(const std::string& module, Live& live, const status::ScriptOrder& order);
  Status signal(const std::string& module, Live& live, const Signal& signal);
  [[nodiscard]] std::vector<std::string> environment(const std::string& module, const spec::Scripts& scripts) const;
  Result<std::optional<Duration>> run_programs(const std::string& module, const spec::Module* spec);
  Status save(const std::string& module, const Record& record);
  void keep_house(const std::string& module, std::uint64_t size_limit_bytes);
  [[nodiscard]] bool exists(const std::string& module, const std::string& script) const;
  [[nodiscard]] std::string status_path(const std::string& module, std::uint64_t run) const;
  [[nodiscard]] std::optional<ProcessIdentity> find_runner(const std::string& status_file);

  store::Store& store_;
  const Clock& clock_;
  Processes& processes_;
  Files& files_;
  Wake wake_;
  Paths paths_;
  ProgramRunner programs_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::script
