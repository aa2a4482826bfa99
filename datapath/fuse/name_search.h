#pragma once

#include <optional>
#include <string>

namespace safekit::fuse {

/// Descriptors of the directory to search and of what is looked for (O_PATH is enough for the latter).
struct NameQuestion {
  int root{-1};
  int target{-1};
};

/// A path below `root` of an inode whose names nobody has looked up: what the kernel remembers if that is
/// true, else a walk of the whole tree. It does not cross mounts. Nothing: no name found. Thread: any; the
/// caller keeps names still.
[[nodiscard]] std::optional<std::string> find_name(const NameQuestion& question);

}  // namespace safekit::fuse
