#pragma once

#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/doc/node.h"
#include "schema/status/condition.h"
#include "schema/status/event.h"
#include "schema/status/module.h"

/// What is seen, as trees: for the API, the command line and the store. Times are UTC text, absent while
/// unset.
namespace safekit::codec {

[[nodiscard]] doc::Node to_tree(const status::Condition& condition);
[[nodiscard]] doc::Node to_tree(const status::Event& event);
/// Errors: Invalid when a field is missing or of another form.
[[nodiscard]] Result<status::Event> event_from(const doc::Node& tree);

/// `status` of a Module as this node sees it: `observedGeneration`, `nodes` (this node, then the peer where
/// the module has one), `conditions`. The peer is UNKNOWN while no heartbeat of it is heard.
[[nodiscard]] doc::Node status_tree(const status::Module& module, const NodeName& self);

}  // namespace safekit::codec
