#pragma once

#include <filesystem>

#include "e2e/sandbox/sandbox.h"
#include "e2e/sandbox/state.h"
#include "schema/base/result.h"

namespace safekit::sandbox {

/// What an operator does on new nodes: `cluster init` on the first, `cluster token` there and `cluster join`
/// on each other. Nodes that belong to a cluster already are left alone. Errors: Timeout when a daemon does
/// not answer.
[[nodiscard]] Status form_cluster(const std::filesystem::path& directory, const State& state,
                                  const Progress& progress);

}  // namespace safekit::sandbox
