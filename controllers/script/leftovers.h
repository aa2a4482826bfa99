#pragma once

#include <set>
#include <string>

#include "schema/port/groups.h"
#include "schema/port/process.h"

namespace safekit::script {

/// What the scripts of a module have started and left behind, as far as this node can tell (ProcessGroups). Without groups
/// nothing is ever left. Looks at its ports. A part of the script controller.
class Leftovers {
 public:
  Leftovers(ProcessGroups* groups, Processes& processes) : groups_(groups), processes_(processes) {}
  /// Options of safekit-runner for a run; none where there are no groups.
  [[nodiscard]] std::vector<std::string> options_of(const std::string& run);
  /// Why nothing can be found; empty: it can.
  [[nodiscard]] std::string problem() const;
  [[nodiscard]] bool any(const std::string& module) const;
  /// `sleep (pid 12), postgres (pid 13) and 2 more`
  [[nodiscard]] std::string names(const std::string& module) const;
  /// SIGTERM to each.
  void terminate(const std::string& module);
  Status kill(const std::string& name);
  void tidy(const std::string& module, const std::set<std::string>& kept);

  static constexpr std::size_t kNamesMax = 5;

 private:
  ProcessGroups* groups_;
  Processes& processes_;
};

}  // namespace safekit::script
