#pragma once

#include <span>
#include <string>
#include <string_view>

#include "schema/base/result.h"

namespace safekit::store {

/// One step of a database's schema. Steps are numbered 1, 2, 3 ... without a gap; a released one never changes.
struct Migration {
  int number{0};
  std::string_view name{};
  std::string_view sql{};
};

[[nodiscard]] std::span<const Migration> control_migrations();
[[nodiscard]] std::span<const Migration> history_migrations();

/// The steps that a database at version `applied` (0: new) still needs, in order.
/// Errors: Unsupported when it is newer than all steps we know; `file` is named in the message.
[[nodiscard]] Result<std::span<const Migration>> pending_migrations(std::span<const Migration> known, int applied,
                                                                    const std::string& file);

}  // namespace safekit::store
