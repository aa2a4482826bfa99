#include "datapath/fuse/inode_table.h"

#include <fcntl.h>

#include <fmt/format.h>

namespace safekit::fuse {
namespace {

bool has_set_id(const struct stat& attributes) {
  return (attributes.st_mode & (S_ISUID | S_ISGID)) != 0;
}

}  // namespace

Status InodeTable::add_root(const std::string& path) {
  SK_TRY(mounts::Alone root, mounts::open_alone(path));
  return add_root(std::move(root), path);
}

Status InodeTable::add_root(mounts::Alone root, const std::string& path) {
  struct stat attributes {};
  if (::fstat(root.directory.get(), &attributes) != 0) {
    return Error{Code::Io, fmt::format("replicated directory '{}': {}", path, ::strerror(errno))};
  }
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
      note_lookups_locked(*inode);
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
  ledger_->note_next_id(next_id_);
  inode->slot = ledger_->add({.id = inode->id.value,
                              .device = inode->device,
                              .number = inode->number,
                              .type = inode->type,
                              .handle = inode->handle},
                             has_handle);
  Inode* result = inode.get();
  by_key_[{inode->device, inode->number}] = result;
  inodes_[inode->id.value] = std::move(inode);
  return result;
}

Call<Inode*> InodeTable::adopt(Inode& parent, const std::string& name, const struct stat& attributes,
                               For what) {
  const auto count = [what, this](Inode& inode) {
    ++(what == For::Kernel ? inode.lookups : inode.pins);
    note_lookups_locked(inode);
  };
  Inode* known = nullptr;
  {
    const std::lock_guard lock{mutex_};
    known = find_locked(attributes.st_dev, attributes.st_ino);
    if (known != nullptr) {
      add_name_locked(*known, parent.id, name);
      count(*known);
    }
  }
  if (known != nullptr) {
    settle_replicated(*known, parent, name, attributes);
    return known;
  }
  SK_TRY(const SharedFd directory, path_fd(parent));
  auto handle = handle_at(parent.handle.root, directory->get(), name);
  Fd path;
  if (!handle) {
    if (handle.error().number != EOPNOTSUPP) return handle.error();
    path.reset(::openat(directory->get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!path) return last_errno();
  }
  std::unique_lock lock{mutex_};
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
  lock.unlock();
  settle_replicated(*inode, parent, name, attributes);
  return inode;
}

Call<Inode*> InodeTable::adopt_nameless(std::uint32_t root, Fd file, const struct stat& attributes) {
  auto handle = handle_at(root, file.get(), "");
  SK_TRY(Fd path, reopen(file.get(), O_PATH));
  Inode* inode = nullptr;
  {
    const std::lock_guard lock{mutex_};
    const bool has_handle = handle.has_value();
    inode = insert_locked(
        attributes, has_handle ? std::move(*handle) : replica::FileHandle{.root = root}, has_handle);
    inode->nameless = true;
    inode->lookups = 1;
    inode->opens = 1;
    inode->file_writable = true;
    inode->file = std::make_shared<const Fd>(std::move(file));
    inode->path = std::make_shared<const Fd>(std::move(path));
    inode->keep_path = true;
    ledger_->set_parting(inode->slot);
    note_lookups_locked(*inode);
    note_opens_locked(*inode);
  }
  keep_if_needed(*inode);
  return inode;
}

void InodeTable::forget(InodeId id, std::uint64_t lookups) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = inodes_.find(id.value);
    if (found == inodes_.end()) return;
    Inode& inode = *found->second;
    inode.lookups -= std::min(inode.lookups, lookups);
    note_lookups_locked(inode);
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
  {
    const std::lock_guard lock{mutex_};
    uncache_locked(inode);
    inode.path = path;
    inode.keep_path = true;
    ledger_->set_parting(inode.slot);
  }
  keep_if_needed(inode);
  return {};
}

void InodeTable::unhold(Inode& inode) {
  const std::lock_guard lock{mutex_};
  if (!inode.keep_path || inode.kept || inode.nameless || !inode.has_handle || inode.id.value < kFirstId) return;
  inode.keep_path = false;
  remember_locked(inode);
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
    if (std::exchange(inode->kept, false)) dropped_.push_back(inode->id.value);
    ledger_->remove(inode->slot);
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
  std::vector<std::uint64_t> dropped;
  {
    const std::lock_guard lock{mutex_};
    if (retired_.empty()) return;
    dropped = std::exchange(dropped_, {});
  }
  for (const std::uint64_t id : dropped) keeping_.drop(id);
  if (on_retired_) on_retired_();
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
  SharedFd file;
  {
    const std::lock_guard lock{mutex_};
    if (inode.file && (inode.file_writable || !writable)) {
      ++inode.opens;
      note_opens_locked(inode);
      file = inode.file;
    } else {
      path = inode.path;
      writable = writable || (inode.opens > 0 && inode.file_writable);
    }
  }
  if (!file) {
    SK_TRY(Fd opened, open_by_any_means(inode, path, writable ? O_RDWR : O_RDONLY));
    auto fresh = std::make_shared<const Fd>(std::move(opened));
    const std::lock_guard lock{mutex_};
    ++inode.opens;
    if (!inode.file || (writable && !inode.file_writable)) {
      inode.file = std::move(fresh);
      inode.file_writable = writable;
    }
    note_opens_locked(inode);
    file = inode.file;
  }
  keep_if_needed(inode);
  return file;
}

void InodeTable::created(Inode& inode, Fd file) {
  const std::lock_guard lock{mutex_};
  ++inode.opens;
  inode.file = std::make_shared<const Fd>(std::move(file));
  inode.file_writable = true;
  note_opens_locked(inode);
}

void InodeTable::close_file(Inode& inode) {
  SharedFd closed;  // after the lock
  {
    const std::lock_guard lock{mutex_};
    if (inode.opens == 0) return;
    --inode.opens;
    if (inode.opens == 0) inode.file_writable = false;
    note_opens_locked(inode);
    if (inode.opens > 0) return;
    closed = std::exchange(inode.file, nullptr);
    retire_if_unused_locked(&inode);
  }
  notify_retired();
}

void InodeTable::reopen_file(Inode& inode) {
  const std::lock_guard lock{mutex_};
  ++inode.opens;
  note_opens_locked(inode);
}

/// One that an earlier process had open is opened when it is used first.
Call<SharedFd> InodeTable::file_fd(Inode& inode) {
  SharedFd path;
  bool writable = false;
  {
    const std::lock_guard lock{mutex_};
    if (inode.file) return inode.file;
    if (inode.opens == 0) return Errno{EBADF};
    path = inode.path;
    writable = inode.file_writable;
  }
  SK_TRY(Fd opened, open_by_any_means(inode, path, writable ? O_RDWR : O_RDONLY));
  auto file = std::make_shared<const Fd>(std::move(opened));
  const std::lock_guard lock{mutex_};
  if (!inode.file) inode.file = std::move(file);
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

}  // namespace safekit::fuse
