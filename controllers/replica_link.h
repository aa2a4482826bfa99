#pragma once

#include "controllers/replication/link.h"
#include "schema/port/loop.h"

namespace safekit {

/// The real connection to a replica's control socket (datapath/control/client).
[[nodiscard]] replication::Connector replica_connector(Loop& loop);

}  // namespace safekit
