#pragma once

#include <string_view>

namespace safekit {

enum class LogLevel { Debug, Info, Warning, Error };

/// Where diagnostic lines of a daemon go (one line, `key=value`). The module log of users is in the store. Thread: any.
class Log {
 public:
  virtual ~Log() = default;
  virtual void write(LogLevel level, std::string_view component, std::string_view line) = 0;
};

}  // namespace safekit
