#include "datapath/linux/clock.h"

#include <algorithm>
#include <ctime>

namespace safekit::linux_os {
namespace {

std::int64_t nanoseconds_of(clockid_t clock) {
  timespec now{};
  SK_ASSERT(clock_gettime(clock, &now) == 0);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

constexpr int kSettingReads = 5;
constexpr long kTickPartNs = 1'000'000;
constexpr int kTickPartsMax = 50;  ///< a tick takes 10 ms at most; a clock that is set back meanwhile is not waited for

}  // namespace

FileMoment file_moment() {
  FileMoment moment{.setting = INT64_MIN};
  // Whatever comes between the two readings makes the difference smaller.
  for (int i = 0; i < kSettingReads; ++i) {
    const std::int64_t wall = nanoseconds_of(CLOCK_REALTIME);
    moment.setting = std::max(moment.setting, wall - nanoseconds_of(CLOCK_BOOTTIME));
  }
  moment.now = nanoseconds_of(CLOCK_REALTIME_COARSE);
  return moment;
}

FileMoment next_file_moment() {
  const std::int64_t before = nanoseconds_of(CLOCK_REALTIME);  // a stamp may be finer than a tick
  for (int i = 0; i < kTickPartsMax && nanoseconds_of(CLOCK_REALTIME_COARSE) <= before; ++i) {
    const timespec part{0, kTickPartNs};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &part, nullptr);  // interrupted: it looks again
  }
  return file_moment();
}

MonoTime SystemClock::mono_now() const {
  return MonoTime{nanoseconds_of(CLOCK_BOOTTIME)};
}
WallTime SystemClock::wall_now() const {
  return WallTime{nanoseconds_of(CLOCK_REALTIME)};
}

}  // namespace safekit::linux_os
