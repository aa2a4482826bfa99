#pragma once

#include "schema/base/crontab.h"
#include "schema/base/time.h"

namespace safekit::linux_os {

/// What the node's clock on the wall shows then, in the node's time zone. A change of /etc/localtime is noticed.
[[nodiscard]] CalendarMinute local_minute(WallTime time);

}  // namespace safekit::linux_os
