#include "datapath/resync/pace.h"

#include <algorithm>

namespace safekit::resync {

MonoTime Pace::begin_of(std::uint64_t bytes, MonoTime now) {
  if (bytes_per_second_ == 0) return now;
  const MonoTime begin = std::max(now, free_);
  const double takes = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
  free_ = begin + std::chrono::duration_cast<Duration>(std::chrono::duration<double>{takes});
  return begin;
}

}  // namespace safekit::resync
