#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "controllers/script/leftovers.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"
#include "schema/port/process.h"

namespace safekit::script {

/// Runs scripts beside those that the role orders, at most one of each `key` of a module at a time: those of the configuration,
/// and those that a person asks for. Under safekit-runner, as all. A service; a part of the script controller.
class ExtraRunner {
 public:
  struct Ports {
    const Clock& clock;
    Processes& processes;
    Files& files;
    Leftovers& leftovers;
  };
  struct Run {
    std::string module{};
    std::string key{};
    std::string script{};
    std::vector<std::string> arguments{};
    std::vector<std::string> environment{};
    std::string output_file{};  ///< it is new
  };
  using Ended = std::function<void(int exit_code)>;
  ExtraRunner(const Ports& ports, std::string state_dir, std::string program_dir);
  /// Errors: Conflict while the last one of the key runs; those of the ports.
  Status start(const Run& run, Ended ended);
  /// To the whole process group, and with `kill` to all that the script has started.
  Status end(const std::string& module, const std::string& key, bool kill);
  /// Ends what an older safekitd has left running of this key.
  Status clear(const std::string& module, const std::string& key);
  /// The groups of what runs now.
  [[nodiscard]] std::set<std::string> groups(const std::string& module) const;

 private:
  [[nodiscard]] std::string status_path(const std::string& module, const std::string& key) const;

  Ports ports_;
  std::string state_dir_;
  std::string program_dir_;
  std::map<std::pair<std::string, std::string>, Ended> runs_{};
};

}  // namespace safekit::script
