#pragma once

#include <map>
#include <utility>

#include "schema/port/units.h"

namespace safekit::fake {

/// Units as a test says.
class FixedUnits final : public Units {
 public:
  std::map<std::string, bool> running{};
  std::string trouble{};

  std::uint64_t watch(const std::string& unit, std::function<void()> task) override {
    watches_[++last_] = {unit, std::move(task)};
    return last_;
  }
  void unwatch(std::uint64_t id) override { watches_.erase(id); }
  [[nodiscard]] std::optional<bool> is_running(const std::string& unit) const override {
    const auto found = running.find(unit);
    return found == running.end() ? std::nullopt : std::optional{found->second};
  }
  [[nodiscard]] std::string problem() const override { return trouble; }

  void set(const std::string& unit, bool runs) {
    running[unit] = runs;
    const auto watches = watches_;
    for (const auto& [id, watch] : watches) {
      if (watch.first == unit) watch.second();
    }
  }
  [[nodiscard]] std::size_t watch_count() const { return watches_.size(); }

 private:
  std::uint64_t last_{0};
  std::map<std::uint64_t, std::pair<std::string, std::function<void()>>> watches_{};
};

}  // namespace safekit::fake
