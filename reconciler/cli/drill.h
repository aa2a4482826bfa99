#pragma once

#include <string>

#include "schema/base/result.h"
#include "schema/doc/node.h"

/// What a drill may do and has shown, and how it and a preflight read. Pure: over trees of the API.
namespace safekit::cli {

struct DrillPair {
  std::string prim{};
  std::string second{};
};
/// Of a module's status. Errors: Conflict where it is not one node PRIM Ready and another SECOND Ready.
[[nodiscard]] Result<DrillPair> drill_pair(const doc::Node& status);
/// Why the roles should not be exchanged for practice now, by what each node says of itself; empty: they may.
[[nodiscard]] std::string drill_refusal(const doc::Node& prim, const doc::Node& second);
/// `before` and `after` are of the node that was to take the role.
[[nodiscard]] doc::Node drill_report(const DrillPair& pair, const doc::Node& before, const doc::Node& after, const Status& exchanged);
[[nodiscard]] std::string drill_text(const std::string& module, const doc::Node& report);
[[nodiscard]] std::string preflight_text(const doc::Node& report);

}  // namespace safekit::cli
