#pragma once

#include <functional>
#include <map>
#include <string>

#include "controllers/script/plan.h"
#include "controllers/script/programs.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"
#include "schema/port/process.h"

namespace safekit::script {

/// Runs the programs of custom checkers under `safekit-runner`, as scripts are. A new safekitd ends what an older one left
/// running and starts it anew: only so does a program that tells changes tell its value again. A service; a part of the
/// script controller.
class ProgramRunner {
 public:
  struct Ports {
    store::Store& store;
    const Clock& clock;
    Processes& processes;
    Files& files;
  };
  ProgramRunner(const Ports& ports, std::string state_dir, std::string program_dir, std::function<void(const std::string& module)> wake);
  /// One pass of a module. `environment` is what its scripts have.
  Result<std::optional<Duration>> pass(const std::string& module, const std::map<std::string, status::CheckerProgram>& wanted,
                                       const std::vector<std::string>& environment, bool is_logged);
  /// How the programs with an interval ended last.
  [[nodiscard]] std::map<std::string, status::CheckerRun> runs(const std::string& module) const;

 private:
  struct Live {
    bool cleared{false};
    Programs programs{};
  };
  Status clear(const std::string& module);
  Status start(const std::string& module, const std::string& resource, Program& program,
               const std::vector<std::string>& environment, bool is_logged);
  Status end(const std::string& module, const EndProgram& wanted);
  void note(const std::string& module, const std::string& resource, const ExitStatus& status);
  [[nodiscard]] std::string status_path(const std::string& module, const std::string& resource) const;

  Ports ports_;
  std::string state_dir_;
  std::string program_dir_;
  std::function<void(const std::string&)> wake_;
  std::map<std::string, Live> modules_{};
};

}  // namespace safekit::script
