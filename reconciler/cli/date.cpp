#include "reconciler/cli/date.h"

#include <ctime>

#include <fmt/format.h>

namespace safekit::cli {

Result<WallTime> parse_date(const std::string& text) {
  const Error wrong{Code::Invalid, fmt::format("'{}' is no date; write 2026-11-28, or '2026-11-28 12:00:00', with Z behind it for UTC", text)};
  const bool is_utc = text.ends_with('Z');
  const std::string local = is_utc ? text.substr(0, text.size() - 1) : text;
  std::tm tm{};
  for (const char* form : {"%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"}) {
    tm = {};
    const char* const end = ::strptime(local.c_str(), form, &tm);
    if (end == nullptr || *end != '\0') continue;
    std::tm same = tm;
    same.tm_isdst = -1;
    const std::time_t seconds = is_utc ? ::timegm(&same) : std::mktime(&same);
    if (seconds <= 0 || same.tm_mday != tm.tm_mday) return wrong;  // 30 February
    return WallTime{static_cast<std::int64_t>(seconds) * 1'000'000'000};
  }
  return wrong;
}

}  // namespace safekit::cli
