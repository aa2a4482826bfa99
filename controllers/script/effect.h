#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/script/asked_runs.h"
#include "controllers/script/config_plan.h"
#include "controllers/script/extra_runner.h"
#include "controllers/script/leftovers.h"
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
  std::string boot{};                            ///< identity of this boot of the node
};

[[nodiscard]] std::string fact_key(const std::string& module);
/// Nothing where the module runs none.
[[nodiscard]] const spec::Scripts* scripts_of(const spec::Module* spec);
/// The module's, or what holds where it says nothing of scripts.
[[nodiscard]] const spec::Scripts& scripts_or_usual(const spec::Module* spec);

/// What has become of the scripts of a configuration.
struct Configuration {
  std::uint64_t version{0};
  bool running{false};
  std::string problem{};
  std::string output_file{};
};

/// Runs the scripts that RoleSection::script orders, those of the configuration, those that people ask for, and the programs of
/// checkers; writes ScriptSection and the condition `Configured`. A script runs under
/// `safekit-runner` in a session of its own: it does not notice that safekitd goes away, and a new safekitd
/// finds it by the stored fact `script/<module>` (written before the start) and the runner's status file. A
/// service.
class ScriptController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  /// Without `groups` nothing is known of what scripts leave behind.
  ScriptController(store::Store& store, const Clock& clock, Processes& processes, Files& files, Wake wake, Paths paths,
                   ProcessGroups* groups = nullptr);
  [[nodiscard]] std::string_view name() const override { return "script"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

  /// `config` and `postconfig` are run again.
  Status configure(const std::string& module);
  [[nodiscard]] Configuration configuration(const std::string& module) const;
  /// Errors: Conflict with why it cannot be done now, or the last one still runs.
  Status ask(const std::string& module, AskedKind kind);
  [[nodiscard]] std::optional<Asked> asked(const std::string& module, AskedKind kind) const;
  /// The last bytes of a file of output.
  [[nodiscard]] std::string output(const std::string& file) const;
  /// Called after each pass.
  void on_pass(std::function<void(const std::string& module)> task) { on_pass_ = std::move(task); }

 private:
  struct Live {
    bool loaded{false};
    bool role_known{false};  ///< the role has spoken of the module in this life of safekitd
    std::optional<Record> record{};
    std::uint64_t watch{0};  ///< of a process found again; 0: the start's own callback tells
    std::shared_ptr<const spec::Module> materialised{};
    ConfigMemory config{};
    bool by_hand{false};
    bool left_told{false};  ///< that something runs in STOP
    std::map<AskedKind, Asked> asked{};
    std::set<AskedKind> asked_over{};  ///< their script has ended
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
  Status end_left(const std::string& module, Live& live, const EndLeft& step);
  void tell_of_groups(const std::string& module);
  void tell_of_left(const std::string& module, Live& live, bool left_running);
  void publish(const std::string& module, Live& live);
  [[nodiscard]] std::string output_path(const std::string& module, const spec::Scripts& scripts, const std::string& script) const;

  // effect_extra.cpp
  void load_extra(const std::string& module, Live& live);
  [[nodiscard]] ConfigDesired config_desired(const std::string& module, const Live& live) const;
  Result<std::optional<Duration>> run_config(const std::string& module, Live& live);
  Status start_config(const std::string& module, Live& live, const std::string& script);
  [[nodiscard]] std::optional<status::Condition> configured_condition(const std::string& module, const Live& live) const;
  Status forget(const std::string& module);
  void say_script(const std::string& module, const std::string& script, const std::string& output_file);
  void run_asked(const std::string& module, Live& live);
  Status start_asked(const std::string& module, Live& live, AskedKind kind);
  void set_by_hand(const std::string& module, Live& live, bool on);

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
  Leftovers leftovers_;
  ProgramRunner programs_;
  ExtraRunner extra_;
  bool groups_told_{false};
  std::function<void(const std::string&)> on_pass_{};
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::script
