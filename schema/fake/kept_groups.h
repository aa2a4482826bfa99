#pragma once

#include <map>
#include <string>
#include <vector>

#include "schema/port/groups.h"

namespace safekit::fake {

/// Groups that a test fills. What is killed is gone at once.
class KeptGroups final : public ProcessGroups {
 public:
  std::string why_not{};
  std::map<std::string, std::vector<std::int32_t>> groups{};  ///< by `module/run`
  std::vector<std::string> killed{};
  bool is_deaf{false};  ///< what is killed stays

  [[nodiscard]] std::string problem() const override { return why_not; }
  [[nodiscard]] std::string directory(const std::string& name) const override {
    return why_not.empty() ? "/groups/" + name : std::string{};
  }
  Status make(const std::string& name) override {
    groups[name];
    return {};
  }
  [[nodiscard]] bool is_populated(const std::string& name) const override { return !processes(name).empty(); }
  [[nodiscard]] std::vector<std::int32_t> processes(const std::string& name) const override {
    std::vector<std::int32_t> found;
    for (const auto& [group, pids] : groups) {
      if (is_in(group, name)) found.insert(found.end(), pids.begin(), pids.end());
    }
    return found;
  }
  Status kill(const std::string& name) override {
    killed.push_back(name);
    if (!is_deaf) std::erase_if(groups, [&](const auto& one) { return is_in(one.first, name); });
    return {};
  }
  void tidy(const std::string& name, const std::set<std::string>& kept) override {
    std::erase_if(groups, [&](const auto& one) { return is_in(one.first, name) && one.second.empty() && !kept.contains(one.first); });
  }

 private:
  static bool is_in(const std::string& group, const std::string& name) { return group == name || group.starts_with(name + "/"); }
};

}  // namespace safekit::fake
