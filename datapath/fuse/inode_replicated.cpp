// Which inodes are replicated: the part of InodeTable that knows `notReplicated`.
#include <fcntl.h>
#include <sys/stat.h>

#include "datapath/fuse/inode_table.h"
#include "datapath/fuse/name_search.h"

namespace safekit::fuse {

const replica::Exclusion& InodeTable::exclusion(std::uint32_t root) const {
  static const replica::Exclusion none;
  return root < exclusions_.size() ? exclusions_[root] : none;
}

std::string InodeTable::directory_path(const Inode& directory) {
  if (!exclusion(directory.handle.root).needs_paths()) return {};
  const auto path = path_of(directory.id);
  return path ? path->path : std::string{};
}

bool InodeTable::excludes(Inode& parent, const std::string& name, bool is_directory) {
  if (parent.nameless) return true;
  const replica::Exclusion& rules = exclusion(parent.handle.root);
  return !rules.empty() && rules.excludes(directory_path(parent), name, is_directory);
}

bool InodeTable::is_replicated(InodeId directory, const std::string& name, bool is_directory) {
  const auto parent = find(directory.value);
  return parent && !excludes(**parent, name, is_directory);
}

/// By a known name that is replicated.
std::optional<wire::TreePath> InodeTable::replicated_path(Inode& inode) {
  std::vector<Place> places;
  {
    const std::lock_guard lock{mutex_};
    places = inode.names;
  }
  for (const Place& place : places) {
    const auto parent = find(place.parent.value);
    if (!parent || excludes(**parent, place.name, false)) continue;
    if (auto above = path_of(place.parent)) {
      above->path = above->path.empty() ? place.name : above->path + "/" + place.name;
      return std::move(*above);
    }
  }
  return std::nullopt;
}

bool InodeTable::has_replicated_name(Inode& inode) {
  if (replicated_path(inode)) return true;
  const auto path = path_fd(inode);
  struct stat st {};
  if (!path || ::fstat((*path)->get(), &st) != 0) return false;
  {
    const std::lock_guard lock{mutex_};
    if (inode.names.size() >= st.st_nlink) return false;  // no name that nobody has looked up
  }
  for (std::uint32_t root = 0; root < root_count(); ++root) {
    const auto name = find_name({.root = root_fd(root), .target = (*path)->get(), .exclusion = &exclusion(root)});
    // What could not be looked at may hold one: then its changes are sent, and the peer that lacks it says so.
    if (name || name.error().number != ENOENT) return true;
  }
  return false;
}

/// Of an inode that has just been found by this name. One that is known by others already is what they have made of it.
void InodeTable::settle_replicated(Inode& inode, Inode& parent, const std::string& name, const struct stat& attributes) {
  if (exclusions_.empty()) return;
  const bool directory = S_ISDIR(attributes.st_mode);
  if (!excludes(parent, name, directory)) {
    inode.nameless = false;
    return;
  }
  {
    const std::lock_guard lock{mutex_};
    if (inode.names.size() > 1) return;
  }
  inode.nameless = directory || attributes.st_nlink <= 1 || !has_replicated_name(inode);
}

}  // namespace safekit::fuse
