#pragma once

#include "datapath/journal/zone_map.h"
#include "datapath/replica/inspection.h"
#include "datapath/replica/sink.h"

namespace safekit::replica {

/// Adds what the marks of one inode, of this mode and size, would cost. Pure.
void add_marks(SyncEstimate& estimate, const journal::InodeMarks& marks, const wire::Attributes& inode, std::uint32_t zone_bytes);

/// By the map alone, but for the sizes of the files that it names. Errors: Io.
Result<SyncEstimate> estimate_sync(const journal::ZoneMap& map, Inodes& inodes, TreeOrder& order);

}  // namespace safekit::replica
