#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "controllers/role/plan.h"
#include "schema/base/crontab.h"

/// `syncAt` (spec/runtime.md 5.9): a secondary that is synchronised at dates, and waits between them. All pure.
namespace safekit::role {

/// What this node's clock on the wall shows then.
using LocalTime = std::function<CalendarMinute(WallTime)>;

struct Dates {
  bool passed{false};  ///< one has, since the last look
  WallTime looked{};   ///< the last minute that was looked at
  Duration recheck_after{};
  friend bool operator==(const Dates&, const Dates&) = default;
};

/// What holds a secondary between the dates, as a failover rule's label.
inline constexpr std::string_view kSyncAtWait = "rfs_syncat_wait";
/// As cron(8): what passed longer ago, while nobody looked, is over.
inline constexpr Duration kDatesBack = hours{1};
/// The clock may be set meanwhile.
inline constexpr Duration kDatesLook = seconds{10};

/// Minutes after `looked` (nothing: the first look) up to now.
[[nodiscard]] Dates look_at_dates(const Crontab& crontab, std::optional<WallTime> looked, WallTime now, const LocalTime& local);

/// It may be the secondary: dates count for it.
[[nodiscard]] bool follows_dates(const Desired& desired, const Memory& memory);

}  // namespace safekit::role
