#pragma once

#include <bitset>
#include <string_view>

#include "schema/base/result.h"

namespace safekit {

/// A minute on somebody's calendar.
struct CalendarMinute {
  int minute{0};   ///< 0 to 59
  int hour{0};     ///< 0 to 23
  int day{1};      ///< of the month, from 1
  int month{1};    ///< from 1
  int weekday{0};  ///< 0 is Sunday
  friend bool operator==(const CalendarMinute&, const CalendarMinute&) = default;
};

/// The dates that the five fields of a crontab line name: minute, hour, day of the month, month, day of the week; each with `*`, lists,
/// ranges and steps, months and days also by their English names, 7 as Sunday too; or `@hourly @daily @midnight @weekly @monthly @yearly
/// @annually`. Where both days are restricted, either will do. A value. Source: crontab(5).
class Crontab {
 public:
  /// Errors: Invalid, for people.
  [[nodiscard]] static Result<Crontab> parse(std::string_view text);
  [[nodiscard]] bool names(const CalendarMinute& at) const;
  friend bool operator==(const Crontab&, const Crontab&) = default;

 private:
  std::bitset<60> minutes_{};
  std::bitset<24> hours_{};
  std::bitset<32> days_{};
  std::bitset<13> months_{};
  std::bitset<7> weekdays_{};
  bool either_day_{false};  ///< both days are restricted
};

}  // namespace safekit
