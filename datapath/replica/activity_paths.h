#pragma once

#include <vector>

#include "datapath/journal/activity_log.h"
#include "datapath/journal/zone_map.h"
#include "datapath/replica/sink.h"
#include "datapath/wire/message.h"

namespace safekit::replica {

/// What a returning node touched as a primary, by the paths that stand in its copy: handles mean nothing to the other node.
/// What has no path any more is left out; docs/resync.md says why nothing is missed by that.
/// Errors: Conflict for what no path can stand for (a file with several names, everything touched), Io.
Result<std::vector<wire::ActiveEntry>> to_paths(const journal::Activity& activity, const std::vector<int>& roots);

/// The same on the other side: marks for what stands at these paths there. Takes names (shared) itself, for short.
/// Errors: Io, when something may be there but cannot be looked at.
Status mark_paths(const std::vector<wire::ActiveEntry>& entries, Inodes& inodes, TreeOrder& order, journal::ZoneMap& marks);

/// Pure: what one entry says, as an inode of a log.
[[nodiscard]] journal::ActiveInode to_active(const wire::ActiveEntry& entry);
[[nodiscard]] wire::ActiveEntry to_entry(const journal::ActiveInode& inode, wire::TreePath at);

}  // namespace safekit::replica
