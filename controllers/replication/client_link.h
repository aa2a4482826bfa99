#pragma once

#include "controllers/replication/link.h"
#include "schema/port/loop.h"

namespace safekit::replication {

/// Connects to real replicas by datapath/control. The loop outlives the connector and its links.
[[nodiscard]] Connector client_connector(Loop& loop);

}  // namespace safekit::replication
