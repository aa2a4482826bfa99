#pragma once

#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"
#include "schema/check/unhonoured.h"
#include "schema/status/condition.h"

/// What a node has to say about the configuration of a module itself: a conflict with another node's
/// revision, settings that do nothing yet. Revisions travel by reconciler/peer; nothing is merged.
namespace safekit::config {

struct Observed {
  std::vector<NodeName> conflicting{};  ///< nodes that hold another revision made from the same one
  std::vector<check::Unhonoured> unhonoured{};
};

/// Replaces the conditions of these types among `conditions`, keeps the others and the time of what did not
/// change.
[[nodiscard]] std::vector<status::Condition> decide(const std::string& module, const Observed& observed,
                                                    std::vector<status::Condition> conditions, WallTime now);

}  // namespace safekit::config
