#pragma once

#include <string>

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::cli {

/// `2026-11-28`, `2026-11-28 12:00:00`, `2026-11-28T12:00:00`; with `Z` behind it UTC, else local time (TZ). Errors: Invalid.
Result<WallTime> parse_date(const std::string& text);

}  // namespace safekit::cli
