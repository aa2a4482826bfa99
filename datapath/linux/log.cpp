#include "datapath/linux/log.h"

#include <unistd.h>

#include <fmt/format.h>

#include "datapath/linux/clock.h"

namespace safekit::linux_os {
namespace {

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::Debug: return "debug";
    case LogLevel::Info: return "info";
    case LogLevel::Warning: return "warning";
    case LogLevel::Error: return "error";
  }
  return "unknown";
}

}  // namespace

void StderrLog::write(LogLevel level, std::string_view component, std::string_view line) {
  if (level < least_) return;
  std::string text = fmt::format("{} {} {} ", to_string(SystemClock{}.wall_now()), name_of(level), component);
  for (const char c : line) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  text += '\n';
  (void)!::write(STDERR_FILENO, text.data(),
                 text.size());  // nowhere left to report a log that cannot be written
}

}  // namespace safekit::linux_os
