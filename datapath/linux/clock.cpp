#include "datapath/linux/clock.h"

#include <ctime>

namespace safekit::linux_os {
namespace {

std::int64_t nanoseconds_of(clockid_t clock) {
  timespec now{};
  SK_ASSERT(clock_gettime(clock, &now) == 0);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

MonoTime SystemClock::mono_now() const {
  return MonoTime{nanoseconds_of(CLOCK_BOOTTIME)};
}
WallTime SystemClock::wall_now() const {
  return WallTime{nanoseconds_of(CLOCK_REALTIME)};
}

}  // namespace safekit::linux_os
