#pragma once

#include <string>

#include "schema/port/groups.h"

namespace safekit::linux_os {

/// Below `safekit` in the machine's cgroup v2 file system: mounted at /sys/fs/cgroup, or beside version 1 at
/// /sys/fs/cgroup/unified. No controller is used, so processes may stand at every level (cgroups(7)). A service.
class ControlGroups final : public ProcessGroups {
 public:
  ControlGroups();
  [[nodiscard]] std::string problem() const override { return problem_; }
  [[nodiscard]] std::string directory(const std::string& name) const override;
  Status make(const std::string& name) override;
  [[nodiscard]] bool is_populated(const std::string& name) const override;
  [[nodiscard]] std::vector<std::int32_t> processes(const std::string& name) const override;
  Status kill(const std::string& name) override;
  void tidy(const std::string& name, const std::set<std::string>& kept) override;

 private:
  std::string root_{};
  std::string problem_{};
};

/// Where cgroup v2 is mounted on this machine; empty: nowhere that is known.
[[nodiscard]] std::string control_group_root();

}  // namespace safekit::linux_os
