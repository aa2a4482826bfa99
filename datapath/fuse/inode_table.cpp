#include "datapath/fuse/inode_table.h"

#include <fcntl.h>

#include <fmt/format.h>

#include "datapath/fuse/name_search.h"

namespace safekit::fuse {
namespace {

Error as_error(Errno refused, const std::string& what) {
  const bool gone = refused.number == ESTALE || refused.number == ENOENT || refused.number == ENOTDIR;
  return Error{gone ? Code::NotFound : Code::Io, fmt::format("{}: {}", what, ::strerror(refused.number))};
}

bool has_set_id(const struct stat& attributes) {
  return (attributes.st_mode & (S_ISUID | S_ISGID)) != 0;
}

}  // namespace

Status InodeTable::add_root(const std::string& path) {
  SK_TRY(mounts::Alone root, mounts::open_alone(path));
  struct stat attributes {};
  if (::fstat(root.directory.get(), &attributes) != 0) return as_error(last_errno(), fmt::format("replicated directory '{}'", path));
  const auto index = static_cast<std::uint32_t>(roots_.size());
  auto handle = handle_at(index, root.directory.get(), "");
  auto inode = std::make_unique<Inode>();
  inode->id = root_id(index);
  inode->device = attributes.st_dev;
  inode->number = attributes.st_ino;
  inode->type = S_IFDIR;
  inode->has_handle = handle.has_value();
  if (handle) inode->handle = std::move(*handle);
  inode->handle.root = index;
  inode->may_set_id = has_set_id(attributes);
  inode->keep_path = true;
  inode->recent = recent_.end();
  inode->path = std::make_shared<const Fd>(::openat(root.directory.get(), ".", O_PATH | O_CLOEXEC));
  const std::lock_guard lock{mutex_};
  by_key_[{inode->device, inode->number}] = inode.get();
  inodes_[inode->id.value] = std::move(inode);
  roots_.push_back(std::move(root));
  return {};
}

Call<Inode*> InodeTable::find(std::uint64_t id) {
  const std::lock_guard lock{mutex_};
  const auto found = inodes_.find(id);
  if (found == inodes_.end()) return Errno{ESTALE};
  return found->second.get();
}

Inode* InodeTable::find(dev_t device, ino_t number) {
  const std::lock_guard lock{mutex_};
  return find_locked(device, number);
}

Inode* InodeTable::find_locked(dev_t device, ino_t number) {
  const auto found = by_key_.find({device, number});
  return found == by_key_.end() ? nullptr : found->second;
}

Inode* InodeTable::recall(const struct stat& attributes, InodeId parent, std::string_view name) {
  const std::lock_guard lock{mutex_};
  Inode* inode = find_locked(attributes.st_dev, attributes.st_ino);
  if (inode == nullptr) return nullptr;
  for (const Place& place : inode->names) {
    if (place.parent == parent && place.name == name) {
      ++inode->lookups;
      return inode;
    }
  }
  return nullptr;
}

Inode* InodeTable::insert_locked(const struct stat& attributes, replica::FileHandle handle, bool has_handle) {
  auto inode = std::make_unique<Inode>();
  inode->id = InodeId{next_id_++};
  inode->device = attributes.st_dev;
  inode->number = attributes.st_ino;
  inode->type = attributes.st_mode & S_IFMT;
  inode->handle = std::move(handle);
  inode->has_handle = has_handle;
  inode->may_set_id = has_set_id(attributes);
  inode->recent = recent_.end();
  Inode* result = inode.get();
  by_key_[{inode->device, inode->number}] = result;
  inodes_[inode->id.value] = std::move(inode);
  return result;
}

Call<Inode*> InodeTable::adopt(Inode& parent, const std::string& name, const struct stat& attributes,
                               For what) {
  const auto count = [what](Inode& inode) { ++(what == For::Kernel ? inode.lookups : inode.pins); };
  {
    const std::lock_guard lock{mutex_};
    if (Inode* inode = find_locked(attributes.st_dev, attributes.st_ino)) {
      add_name_locked(*inode, parent.id, name);
      count(*inode);
      return inode;
    }
  }
  SK_TRY(const SharedFd directory, path_fd(parent));
  auto handle = handle_at(parent.handle.root, directory->get(), name);
  Fd path;
  if (!handle) {
    if (handle.error().number != EOPNOTSUPP) return handle.error();
    path.reset(::openat(directory->get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!path) return last_errno();
  }
  const std::lock_guard lock{mutex_};
  Inode* inode = find_locked(attributes.st_dev, attributes.st_ino);
  if (inode == nullptr) {
    inode = insert_locked(attributes,
                          handle ? std::move(*handle) : replica::FileHandle{.root = parent.handle.root},
                          handle.has_value());
    if (path) {
      inode->path = std::make_shared<const Fd>(std::move(path));
      inode->keep_path = true;
    }
  }
  add_name_locked(*inode, parent.id, name);
  count(*inode);
  return inode;
}

Call<Inode*> InodeTable::adopt_nameless(std::uint32_t root, Fd file, const struct stat& attributes) {
  auto handle = handle_at(root, file.get(), "");
  SK_TRY(Fd path, reopen(file.get(), O_PATH));
  const std::lock_guard lock{mutex_};
  const bool has_handle = handle.has_value();
  Inode* inode = insert_locked(
      attributes, has_handle ? std::move(*handle) : replica::FileHandle{.root = root}, has_handle);
  inode->nameless = true;
  inode->lookups = 1;
  inode->opens = 1;
  inode->file_writable = true;
  inode->file = std::make_shared<const Fd>(std::move(file));
  inode->path = std::make_shared<const Fd>(std::move(path));
  inode->keep_path = true;
  return inode;
}

void InodeTable::forget(InodeId id, std::uint64_t lookups) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = inodes_.find(id.value);
    if (found == inodes_.end()) return;
    Inode& inode = *found->second;
    inode.lookups -= std::min(inode.lookups, lookups);
    retire_if_unused_locked(&inode);
  }
  notify_retired();
}

void InodeTable::add_name(Inode& inode, InodeId parent, std::string_view name) {
  const std::lock_guard lock{mutex_};
  add_name_locked(inode, parent, name);
}

void InodeTable::add_name_locked(Inode& inode, InodeId parent, std::string_view name) {
  for (const Place& place : inode.names) {
    if (place.parent == parent && place.name == name) return;
  }
  inode.names.push_back({.parent = parent, .name = std::string{name}});
  ++inodes_.at(parent.value)->children;
}

void InodeTable::remove_name(Inode& inode, InodeId parent, std::string_view name) {
  const std::lock_guard lock{mutex_};
  remove_name_locked(inode, {.parent = parent, .name = std::string{name}});
}

void InodeTable::remove_name_locked(Inode& inode, const Place& place) {
  if (std::erase(inode.names, place) == 0) return;
  Inode* parent = inodes_.at(place.parent.value).get();
  --parent->children;
  retire_if_unused_locked(parent);
}

Call<void> InodeTable::hold(Inode& inode) {
  SK_TRY(const SharedFd path, path_fd(inode));
  const std::lock_guard lock{mutex_};
  uncache_locked(inode);
  inode.path = path;
  inode.keep_path = true;
  return {};
}

void InodeTable::uncache_locked(Inode& inode) {
  if (inode.recent == recent_.end()) return;
  recent_.erase(inode.recent);
  inode.recent = recent_.end();
}

void InodeTable::retire_if_unused_locked(Inode* inode) {
  while (inode != nullptr && inode->id.value >= kFirstId && inode->lookups == 0 && inode->pins == 0 &&
         inode->children == 0 && inode->opens == 0) {
    const auto key = by_key_.find({inode->device, inode->number});
    if (key != by_key_.end() && key->second == inode) by_key_.erase(key);
    uncache_locked(*inode);
    inode->path.reset();
    inode->file.reset();
    inode->keep_path = false;
    const std::vector<Place> names = std::exchange(inode->names, {});
    auto node = inodes_.extract(inode->id.value);
    inode = nullptr;
    retired_.insert(std::move(node));
    for (const Place& place : names) {
      Inode* parent = inodes_.at(place.parent.value).get();
      --parent->children;
      // A file with names in several directories that all end with it is rare enough to recurse.
      if (&place != &names.back())
        retire_if_unused_locked(parent);
      else
        inode = parent;
    }
  }
}

void InodeTable::notify_retired() {
  if (!on_retired_) return;
  {
    const std::lock_guard lock{mutex_};
    if (retired_.empty()) return;
  }
  on_retired_();
}

std::vector<InodeId> InodeTable::retired() {
  const std::lock_guard lock{mutex_};
  std::vector<InodeId> ids;
  ids.reserve(retired_.size());
  for (const auto& entry : retired_) ids.push_back(InodeId{entry.first});
  return ids;
}

void InodeTable::drop(InodeId id) {
  const std::lock_guard lock{mutex_};
  retired_.erase(id.value);
}

std::size_t InodeTable::size() {
  const std::lock_guard lock{mutex_};
  return inodes_.size();
}

std::size_t InodeTable::cached_descriptors() {
  const std::lock_guard lock{mutex_};
  return recent_.size();
}

void InodeTable::remember_locked(Inode& inode) {
  if (inode.keep_path) return;
  if (inode.recent != recent_.end()) {
    recent_.splice(recent_.begin(), recent_, inode.recent);
    return;
  }
  recent_.push_front(&inode);
  inode.recent = recent_.begin();
  if (recent_.size() <= descriptors_max_) return;
  Inode* oldest = recent_.back();
  recent_.pop_back();
  oldest->recent = recent_.end();
  oldest->path.reset();  // whoever uses it right now has a share of it
}

Call<Fd> InodeTable::open_by_any_means(const Inode& inode, const SharedFd& path, int flags) {
  if (path) return reopen(path->get(), flags);
  return open_handle(roots_[inode.handle.root].directory.get(), inode.handle, flags);
}

Call<SharedFd> InodeTable::path_fd(Inode& inode) {
  {
    const std::lock_guard lock{mutex_};
    if (inode.path) {
      remember_locked(inode);
      return inode.path;
    }
  }
  SK_TRY(Fd opened,
         open_handle(roots_[inode.handle.root].directory.get(), inode.handle, O_PATH | O_NOFOLLOW));
  auto path = std::make_shared<const Fd>(std::move(opened));
  const std::lock_guard lock{mutex_};
  if (!inode.path) {
    inode.path = std::move(path);
    remember_locked(inode);
  }
  return inode.path;
}

Call<SharedFd> InodeTable::any_fd(Inode& inode) {
  {
    const std::lock_guard lock{mutex_};
    if (inode.file) return inode.file;
  }
  return path_fd(inode);
}

Call<SharedFd> InodeTable::open_file(Inode& inode, bool writable) {
  SharedFd path;
  {
    const std::lock_guard lock{mutex_};
    if (inode.file && (inode.file_writable || !writable)) {
      ++inode.opens;
      return inode.file;
    }
    path = inode.path;
  }
  SK_TRY(Fd opened, open_by_any_means(inode, path, writable ? O_RDWR : O_RDONLY));
  auto file = std::make_shared<const Fd>(std::move(opened));
  const std::lock_guard lock{mutex_};
  ++inode.opens;
  if (!inode.file || (writable && !inode.file_writable)) {
    inode.file = std::move(file);
    inode.file_writable = writable;
  }
  return inode.file;
}

void InodeTable::created(Inode& inode, Fd file) {
  const std::lock_guard lock{mutex_};
  ++inode.opens;
  inode.file = std::make_shared<const Fd>(std::move(file));
  inode.file_writable = true;
}

void InodeTable::close_file(Inode& inode) {
  SharedFd closed;  // after the lock
  {
    const std::lock_guard lock{mutex_};
    SK_ASSERT(inode.opens > 0);
    if (--inode.opens > 0) return;
    closed = std::exchange(inode.file, nullptr);
    inode.file_writable = false;
    retire_if_unused_locked(&inode);
  }
  notify_retired();
}

Call<SharedFd> InodeTable::file_fd(Inode& inode) {
  const std::lock_guard lock{mutex_};
  if (!inode.file) return Errno{EBADF};
  return inode.file;
}

Call<Fd> InodeTable::open_anew(Inode& inode, int flags) {
  SharedFd path;
  {
    const std::lock_guard lock{mutex_};
    path = inode.path;
  }
  return open_by_any_means(inode, path, flags);
}

void InodeTable::pin(Inode& inode) {
  const std::lock_guard lock{mutex_};
  ++inode.pins;
}

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
  if (inode) {
    if (auto path = known_path(id)) return std::move(*path);
  }
  if (!inode || (*inode)->nameless)
    return Error{Code::NotFound, fmt::format("inode {} has no name", id.value)};
  return search_path(**inode);
}

Result<wire::TreePath> InodeTable::search_path(Inode& inode) {
  const auto path = path_fd(inode);
  if (!path) return as_error(path.error(), fmt::format("inode {}", inode.id.value));
  std::optional<Error> unsure{};
  for (std::uint32_t root = 0; root < root_count(); ++root) {
    const auto name = find_name({.root = root_fd(root), .target = (*path)->get()});
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

Result<int> InodeTable::open(InodeId id, int flags) {
  const auto inode = find(id.value);
  if (!inode) return as_error(inode.error(), fmt::format("inode {}", id.value));
  auto fd = open_anew(**inode, flags);
  if (!fd) return as_error(fd.error(), fmt::format("inode {}", id.value));
  return fd->release();
}

}  // namespace safekit::fuse
