#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace safekit {

/// Services that this machine's service manager runs. Thread: the loop's.
class Units {
 public:
  virtual ~Units() = default;
  /// Follows a unit (`nginx.service`); the task runs after each change of `is_running` and of `problem`. Gives an id for `unwatch`.
  virtual std::uint64_t watch(const std::string& unit, std::function<void()> task) = 0;
  virtual void unwatch(std::uint64_t id) = 0;
  /// Of a unit that is followed: active, or reloading; nothing while it is not known. A unit that does not exist does not run.
  [[nodiscard]] virtual std::optional<bool> is_running(const std::string& unit) const = 0;
  /// Why units are not known; empty while the service manager answers, and until it has been asked.
  [[nodiscard]] virtual std::string problem() const = 0;
};

}  // namespace safekit
