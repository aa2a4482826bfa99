#include "schema/base/time.h"

#include <array>
#include <charconv>
#include <ctime>
#include <limits>

#include <fmt/format.h>

namespace safekit {
namespace {

struct Unit {
  std::string_view suffix{};
  std::int64_t ns{0};
};
constexpr std::array<Unit, 7> kUnits{{{"d", 86'400'000'000'000},
                                      {"h", 3'600'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"s", 1'000'000'000},
                                      {"ms", 1'000'000},
                                      {"us", 1'000},
                                      {"ns", 1}}};

std::tm to_utc(std::int64_t seconds_since_epoch) {
  const std::time_t seconds = seconds_since_epoch;
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  return tm;
}

std::string format_wall(WallTime time, char separator, std::string_view end) {
  std::int64_t whole = time.ns / 1'000'000'000;
  std::int64_t rest = time.ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --whole;
  }
  const std::tm tm = to_utc(whole);
  return fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}.{:06}{}", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, separator, tm.tm_hour, tm.tm_min, tm.tm_sec, rest / 1000, end);
}

}  // namespace

std::string to_string(WallTime time) { return format_wall(time, 'T', "Z"); }
std::string to_log_string(WallTime time) { return format_wall(time, ' ', ""); }

Result<WallTime> parse_wall_time(std::string_view text) {
  std::tm tm{};
  int micros = 0;
  int consumed = 0;
  const std::string owned{text};
  const int fields = std::sscanf(owned.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%6d%n", &tm.tm_year, &tm.tm_mon,
                                 &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &micros, &consumed);
  if (fields != 7 || owned.substr(static_cast<std::size_t>(consumed)) != "Z") {
    return Error{Code::Invalid, fmt::format("'{}' is not a time like 2026-11-23T20:00:11.123456Z", text)};
  }
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  return WallTime{static_cast<std::int64_t>(timegm(&tm)) * 1'000'000'000 + micros * 1000LL};
}

std::string to_string(Duration duration) {
  const std::int64_t ns = duration.count();
  if (ns == 0) return "0s";
  for (const Unit& unit : kUnits) {
    // Whole days read better as hours: SafeKit itself says 24h.
    if (unit.suffix == "d" && ns % unit.ns == 0 && ns / unit.ns < 3) continue;
    if (ns % unit.ns == 0) return fmt::format("{}{}", ns / unit.ns, unit.suffix);
  }
  return fmt::format("{}ns", ns);
}

Result<Duration> parse_duration(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc{} && !text.empty() && text.front() != '-') {
    const std::string_view suffix{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    for (const Unit& unit : kUnits) {
      if (suffix != unit.suffix) continue;
      if (count > std::numeric_limits<std::int64_t>::max() / unit.ns) break;
      return Duration{count * unit.ns};
    }
  }
  return Error{Code::Invalid, fmt::format("'{}' is not a duration (write a whole number and one of d h m s ms us)", text)};
}

}  // namespace safekit
