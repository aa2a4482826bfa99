#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "datapath/fuse/inode_table.h"

namespace safekit::fuse {

/// What is about to lose a name. The kernel holds the lock of its directory, so the name stays what it is.
struct Victim {
  Inode* inode{nullptr};  ///< nullptr: there is none, or nobody knows it
  bool last_name{false};
};

/// Errors: the errno of stat; not ENOENT, which is a victim that is none.
Call<Victim> victim_of(InodeTable& inodes, int directory, const char* name);
/// Again with names held exclusively: of two names that were removed in parallel each saw the other still.
Call<void> settle_victim(InodeTable& inodes, int directory, const char* name, Victim& victim);
/// Its name stays: it could not be removed. A directory that is not empty is tried again and again by some.
void keep_name(InodeTable& inodes, const Victim& victim);
/// With this lock no operation on the victim follows the removal of its last name in the stream.
std::optional<std::unique_lock<std::mutex>> content_of(replica::TreeOrder& order, const Victim& victim);
/// Its name in the directory is gone. The caller holds names exclusively, as for the next.
void forget_name(InodeTable& inodes, const Victim& victim, const Inode& parent, const std::string& name);
/// That was a replicated name; those that are left of it may be none.
void forget_replicated_name(InodeTable& inodes, const Victim& victim, const Inode& parent);

}  // namespace safekit::fuse
