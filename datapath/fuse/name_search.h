#pragma once

#include <string>

#include "datapath/fuse/call.h"
#include "datapath/replica/exclusion.h"

namespace safekit::fuse {

/// Descriptors of the directory to search and of what is looked for (O_PATH is enough for the latter).
struct NameQuestion {
  int root{-1};
  int target{-1};
  const replica::Exclusion* exclusion{nullptr};  ///< names that are not replicated are none
};

/// A path below `root` of an inode whose names nobody has looked up: what the kernel remembers if that is
/// true, else a walk of the whole tree. It does not cross mounts.
/// Errors: ENOENT for no name; any other when a part of the tree could not be looked at, so that there may be
/// one.
/// Thread: any; the caller keeps names still.
[[nodiscard]] Call<std::string> find_name(const NameQuestion& question);

}  // namespace safekit::fuse
