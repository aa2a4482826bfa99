#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace safekit::codec {

/// The candidate that a person most likely meant by `wrong`; empty when none is near. Case does not count
/// much, a swapped pair of letters counts as one mistake. Bound: names are compared on their first 64 bytes.
[[nodiscard]] std::string nearest(std::string_view wrong, const std::vector<std::string_view>& candidates);

/// `did you mean 'x'?`, else `one of a, b, c`; empty without candidates.
[[nodiscard]] std::string suggestion(std::string_view wrong, const std::vector<std::string_view>& candidates);

}  // namespace safekit::codec
