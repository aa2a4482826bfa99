#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>

#include "schema/base/result.h"

namespace safekit {

using Duration = std::chrono::nanoseconds;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// A point on this machine's monotonic clock (CLOCK_BOOTTIME: it counts suspend too). It measures; it means nothing on
/// another node or after a reboot.
struct MonoTime {
  std::int64_t ns{0};
  friend constexpr auto operator<=>(const MonoTime&, const MonoTime&) = default;
  friend constexpr MonoTime operator+(MonoTime t, Duration d) { return {t.ns + d.count()}; }
  friend constexpr MonoTime operator-(MonoTime t, Duration d) { return {t.ns - d.count()}; }
  friend constexpr Duration operator-(MonoTime a, MonoTime b) { return Duration{a.ns - b.ns}; }
};

/// Of what does not end by itself.
inline constexpr MonoTime kNoEnd{INT64_MAX};

/// Nanoseconds since 1970 UTC. Only stored and shown; comparing it between two nodes is a defect (design.md 6).
struct WallTime {
  std::int64_t ns{0};
  friend constexpr auto operator<=>(const WallTime&, const WallTime&) = default;
};

/// `2026-11-23T20:00:11.123456Z`
[[nodiscard]] std::string to_string(WallTime time);
/// The form of module logs, `2026-11-23 20:00:11.123456`, UTC.
[[nodiscard]] std::string to_log_string(WallTime time);
[[nodiscard]] Result<WallTime> parse_wall_time(std::string_view text);

/// The largest unit that loses nothing: `1500ms`, `30s`, `24h`, `0s`.
[[nodiscard]] std::string to_string(Duration duration);
/// `30s`, `1500ms`, `2m`, `24h`, `1d`, `50us`. Errors: Invalid for a missing unit, sign, fraction or compound form.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);

}  // namespace safekit
