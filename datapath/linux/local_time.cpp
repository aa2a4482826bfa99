#include "datapath/linux/local_time.h"

#include <ctime>

namespace safekit::linux_os {

CalendarMinute local_minute(WallTime time) {
  const auto seconds = static_cast<std::time_t>(time.ns / 1'000'000'000);
  std::tm local{};
  ::tzset();  // localtime_r does not look at the zone again
  ::localtime_r(&seconds, &local);
  return {.minute = local.tm_min, .hour = local.tm_hour, .day = local.tm_mday, .month = local.tm_mon + 1, .weekday = local.tm_wday};
}

}  // namespace safekit::linux_os
