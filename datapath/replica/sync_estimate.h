#pragma once

#include <functional>

#include "datapath/journal/zone_map.h"
#include "datapath/replica/inspection.h"
#include "datapath/replica/sink.h"

namespace safekit::replica {

/// Adds what the marks of one inode, of this mode and size, would cost. Pure.
void add_marks(SyncEstimate& estimate, const journal::InodeMarks& marks, const wire::Attributes& inode, std::uint32_t zone_bytes);

/// By the map alone, but for the sizes of the files that it names, each of which may be a wait for the disk: `go_on` is asked before
/// each. Errors: Io; those of `go_on`.
Result<SyncEstimate> estimate_sync(const journal::ZoneMap& map, Inodes& inodes, TreeOrder& order, const std::function<Status()>& go_on);

}  // namespace safekit::replica
