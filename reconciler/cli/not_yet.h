#pragma once

#include <optional>
#include <string>
#include <vector>

namespace safekit::cli {

/// What to say to a command of SafeKit (spec/operations.md 1) that this program has not: what to use now, or that it is to come.
[[nodiscard]] std::optional<std::string> not_yet(const std::vector<std::string>& words);

}  // namespace safekit::cli
