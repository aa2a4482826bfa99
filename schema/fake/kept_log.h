#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "schema/port/log.h"

namespace safekit::fake {

/// Keeps every line for a test to look at.
class KeptLog final : public Log {
 public:
  void write(LogLevel level, std::string_view component, std::string_view line) override {
    (void)level;  // a test asks for texts, not levels
    const std::lock_guard lock{mutex_};
    lines_.push_back(std::string{component} + ": " + std::string{line});
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    const std::lock_guard lock{mutex_};
    return lines_;
  }

 private:
  mutable std::mutex mutex_{};
  std::vector<std::string> lines_{};
};

}  // namespace safekit::fake
