#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reconciler/cli/output.h"

namespace safekit::cli {

/// `safekit -r HELPER ...` (spec/operations.md 1.12), the helpers that need no program of their own:
///   flatlogdump -O stdout|FILE   the output of rfsdiff or rfsverify on standard input, as lines of text
/// Gives the exit code; nothing when the words call none of them.
[[nodiscard]] std::optional<int> run_helper(const std::vector<std::string>& words, Output& output);

/// What flatlogdump gives for a text. Ours is lines already. Errors: Unsupported for the XML of SafeKit 7: its form is in no
/// document that we have. Pure.
[[nodiscard]] Result<std::string> flat_log(std::string text);

[[nodiscard]] std::string host_name();
/// `Linux 6.1.0 x86_64`
[[nodiscard]] std::string system_name();

}  // namespace safekit::cli
