// The inodes as a resynchronisation sees them.
#include <fcntl.h>

#include <fmt/format.h>

#include "datapath/fuse/inode_table.h"
#include "datapath/fuse/name_search.h"

namespace safekit::fuse {
namespace {

Error as_error(Errno refused, const std::string& what) {
  const bool gone = refused.number == ESTALE || refused.number == ENOENT || refused.number == ENOTDIR;
  return Error{gone ? Code::NotFound : Code::Io, fmt::format("{}: {}", what, ::strerror(refused.number))};
}

}  // namespace

std::optional<wire::TreePath> InodeTable::known_path(InodeId id) {
  const std::lock_guard lock{mutex_};
  std::string path;
  for (std::uint64_t at = id.value; at >= kFirstId;) {
    const auto found = inodes_.find(at);
    if (found == inodes_.end() || found->second->names.empty()) return std::nullopt;
    const Place& place = found->second->names.front();
    path = path.empty() ? place.name : place.name + "/" + path;
    at = place.parent.value;
    if (at < kFirstId)
      return wire::TreePath{.root = static_cast<std::uint32_t>(at - 1), .path = std::move(path)};
  }
  return wire::TreePath{.root = static_cast<std::uint32_t>(id.value - 1), .path = {}};
}

Result<wire::TreePath> InodeTable::path_of(InodeId id) {
  const auto inode = find(id.value);
  if (inode && !(*inode)->nameless) {
    const bool is_any = exclusions_.empty() || S_ISDIR((*inode)->type);
    if (auto path = is_any ? known_path(id) : replicated_path(**inode)) return std::move(*path);
  }
  if (!inode || (*inode)->nameless) return Error{Code::NotFound, fmt::format("inode {} has no name", id.value)};
  return search_path(**inode);
}

Result<wire::TreePath> InodeTable::search_path(Inode& inode) {
  const auto path = path_fd(inode);
  if (!path) return as_error(path.error(), fmt::format("inode {}", inode.id.value));
  std::optional<Error> unsure{};
  for (std::uint32_t root = 0; root < root_count(); ++root) {
    const auto name = find_name({.root = root_fd(root), .target = (*path)->get(), .exclusion = &exclusion(root)});
    if (!name) {
      Error error = as_error(name.error(), fmt::format("search for the name of inode {}", inode.id.value));
      if (error.code != Code::NotFound) unsure = std::move(error);
      continue;
    }
    const wire::TreePath found{.root = root, .path = *name};
    if (const auto learned = learn_path(inode, found); !learned) return as_error(learned.error(), found.path);
    return found;
  }
  if (unsure) return *unsure;
  return Error{Code::NotFound,
               fmt::format("inode {} has no name in the replicated directories", inode.id.value)};
}

Call<void> InodeTable::learn_path(Inode& inode, const wire::TreePath& path) {
  SK_TRY(Inode * parent, find(root_id(path.root).value));
  std::vector<InodeId> pinned;
  Call<void> result{};
  for (std::size_t start = 0; start < path.path.size();) {
    const std::size_t end = std::min(path.path.find('/', start), path.path.size());
    const std::string name = path.path.substr(start, end - start);
    start = end + 1;
    struct stat attributes {};
    const auto directory = path_fd(*parent);
    if (!directory)
      result = directory.error();
    else if (::fstatat((*directory)->get(), name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0)
      result = last_errno();
    if (!result) break;
    const auto next = adopt(*parent, name, attributes, For::Pin);
    if (!next) {
      result = next.error();
      break;
    }
    pinned.push_back((*next)->id);
    parent = *next;
  }
  if (result && parent != &inode) result = Errno{ESTALE};
  for (const InodeId id : pinned) unpin(id);  // the name of each keeps its parent from here on
  return result;
}

Result<InodeId> InodeTable::pin(InodeId parent, const std::string& name) {
  const auto directory = find(parent.value);
  if (!directory) return as_error(directory.error(), fmt::format("inode {}", parent.value));
  const auto fd = path_fd(**directory);
  if (!fd) return as_error(fd.error(), fmt::format("inode {}", parent.value));
  struct stat attributes {};
  if (::fstatat((*fd)->get(), name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0)
    return as_error(last_errno(), name);
  const auto inode = adopt(**directory, name, attributes, For::Pin);
  if (!inode) return as_error(inode.error(), name);
  return (*inode)->id;
}

Result<InodeId> InodeTable::pin(const replica::FileHandle& handle) {
  if (handle.root >= root_count()) return Error{Code::NotFound, "file handle of an unknown directory"};
  auto path = open_handle(root_fd(handle.root), handle, O_PATH | O_NOFOLLOW);
  if (!path) return as_error(path.error(), "file handle");
  struct stat attributes {};
  if (::fstat(path->get(), &attributes) != 0) return as_error(last_errno(), "file handle");
  if (attributes.st_nlink == 0) return Error{Code::NotFound, "the file has no name any more"};
  const std::lock_guard lock{mutex_};
  Inode* inode = find_locked(attributes.st_dev, attributes.st_ino);
  if (inode == nullptr) inode = insert_locked(attributes, handle, true);
  ++inode->pins;
  return inode->id;
}

void InodeTable::unpin(InodeId id) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = inodes_.find(id.value);
    if (found == inodes_.end() || found->second->pins == 0) return;
    --found->second->pins;
    retire_if_unused_locked(found->second.get());
  }
  notify_retired();
}

Result<replica::FileHandle> InodeTable::handle_of(InodeId id) {
  const std::lock_guard lock{mutex_};
  auto found = inodes_.find(id.value);
  if (found == inodes_.end()) {
    found = retired_.find(id.value);
    if (found == retired_.end()) return Error{Code::NotFound, fmt::format("unknown inode {}", id.value)};
  }
  if (!found->second->has_handle) return Error{Code::Unsupported, "the file system has no file handles"};
  return found->second->handle;
}

Result<replica::EntryPlace> InodeTable::place_of(InodeId id) {
  const std::lock_guard lock{mutex_};
  const auto found = inodes_.find(id.value);
  if (found == inodes_.end() || found->second->names.empty()) {
    return Error{Code::NotFound, fmt::format("inode {} has no name", id.value)};
  }
  const Place& place = found->second->names.front();
  return replica::EntryPlace{.parent = inodes_.at(place.parent.value)->handle, .name = place.name};
}

void InodeTable::tell_time(InodeId id) {
  const auto inode = find(id.value);
  if (inode && tell_time_) tell_time_(**inode);
}

bool InodeTable::is_time_told(InodeId id) {
  const auto inode = find(id.value);
  return !inode || !(*inode)->touched;
}

Result<int> InodeTable::open(InodeId id, int flags) {
  const auto inode = find(id.value);
  if (!inode) return as_error(inode.error(), fmt::format("inode {}", id.value));
  auto fd = open_anew(**inode, flags);
  if (!fd) return as_error(fd.error(), fmt::format("inode {}", id.value));
  return fd->release();
}

}  // namespace safekit::fuse
