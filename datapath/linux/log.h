#pragma once

#include "schema/port/log.h"

namespace safekit::linux_os {

/// One line per message on standard error, `2026-11-23T20:00:11.123456Z info vip address=10.0.0.1`, written
/// with one system call, so that lines of several threads do not mix. Control characters are escaped: one
/// message is one line. A service. Thread: any.
class StderrLog final : public Log {
 public:
  explicit StderrLog(LogLevel least = LogLevel::Info) : least_(least) {}
  void write(LogLevel level, std::string_view component, std::string_view line) override;

 private:
  LogLevel least_;
};

}  // namespace safekit::linux_os
