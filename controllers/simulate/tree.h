#pragma once

#include "controllers/simulate/forecast.h"
#include "schema/doc/node.h"

/// Forecasts and what they begin with as the API shows them.
namespace safekit::sim {

/// `node`, `state`, `upToDate`, `lastPrimary`, `switches`, `down`, `silent`, `interfaces`.
[[nodiscard]] doc::Node to_tree(const NodeNow& now);
/// Errors: Corrupt.
[[nodiscard]] Result<NodeNow> node_now_from(const doc::Node& tree);

/// Kind Simulation: `module`, `begin` and `end` (`node`, `state`), `steps` (`milliseconds`, `node`, `kind` state or action, `text`),
/// `outageMilliseconds` unless nothing was served before, `serves`, `notes`.
[[nodiscard]] doc::Node to_tree(const Situation& situation, const Forecast& forecast);

}  // namespace safekit::sim
