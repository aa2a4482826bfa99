#pragma once

#include <string>

#include "controllers/role/plan.h"

namespace safekit::role {

/// Memory as the text that is kept in the store, so that a restarted daemon goes on in the middle of a transition.
[[nodiscard]] std::string to_text(const Memory& memory);
/// Errors: Corrupt for a text that this version did not write.
[[nodiscard]] Result<Memory> memory_from_text(std::string_view text);

}  // namespace safekit::role
