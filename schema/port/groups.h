#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "schema/base/result.h"

namespace safekit {

/// Groups of processes that no process leaves by itself (cgroup v2): what a script has started, and what that has started, can
/// be found and ended also after the script. A name is `module/run`; `module` speaks of all below it. Thread: the loop's.
class ProcessGroups {
 public:
  virtual ~ProcessGroups() = default;
  /// Why there are none on this node; empty: there are.
  [[nodiscard]] virtual std::string problem() const = 0;
  /// The directory of a group, for who puts a process into it. Empty where there are none.
  [[nodiscard]] virtual std::string directory(const std::string& name) const = 0;
  virtual Status make(const std::string& name) = 0;
  /// Whether a process is in it.
  [[nodiscard]] virtual bool is_populated(const std::string& name) const = 0;
  [[nodiscard]] virtual std::vector<std::int32_t> processes(const std::string& name) const = 0;
  /// SIGKILL to all at once, also to those that are just being made. A group that is gone is fine.
  virtual Status kill(const std::string& name) = 0;
  /// Removes those in which nothing runs, but for `kept`, which somebody is about to enter.
  virtual void tidy(const std::string& name, const std::set<std::string>& kept) = 0;
};

}  // namespace safekit
