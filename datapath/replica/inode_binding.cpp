#include "datapath/replica/inode_binding.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace safekit::replica {

namespace {

constexpr std::size_t kPieceBytesMax = 4000;  ///< of a path, which the kernel takes up to 4,095

Result<Fd> open_piece(int directory, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const char* name = path.empty() ? "." : path.c_str();
  Fd fd{static_cast<int>(::syscall(SYS_openat2, directory, name, &how, sizeof how))};
  if (!fd) return system_error(fmt::format("'{}'", path), errno == ENOTDIR || errno == ELOOP ? ENOENT : errno);
  return fd;
}

int flags_for(mode_t type) {
  if (S_ISREG(type)) return O_RDWR;
  if (S_ISDIR(type)) return O_RDONLY | O_DIRECTORY;
  return O_PATH | O_NOFOLLOW;
}

}  // namespace

Result<Fd> open_beneath(int root, std::string path) {
  Fd above;
  while (path.size() > kPieceBytesMax) {
    const std::size_t slash = path.rfind('/', kPieceBytesMax);
    if (slash == std::string::npos) break;  // too long a name, which the kernel refuses
    SK_TRY(above, open_piece(above ? above.get() : root, path.substr(0, slash)));
    path.erase(0, slash + 1);
  }
  return open_piece(above ? above.get() : root, path);
}

Status InodeBinding::open_roots() {
  roots_.clear();
  for (const std::string& path : paths_) {
    SK_TRY(auto tree, mounts::open_alone(path));
    SK_TRY(const int mount_id, mount_id_of(tree.directory.get()));
    roots_.push_back({.tree = std::move(tree), .mount_id = mount_id});
  }
  return reset();
}

Status InodeBinding::reset() {
  ids_.clear();
  cache_.clear();
  recent_.clear();
  track_identities(false);
  for (std::uint32_t root = 0; root < roots_.size(); ++root) {
    SK_TRY(auto key, key_at(place(root), root_fd(root), ""));
    set(InodeId{1 + root}, 0, std::move(key), S_IFDIR);
  }
  return {};
}

void InodeBinding::track_identities(bool on) {
  tracking_ = on;
  // Not only cleared: the room for a million files is not needed again soon.
  owner_ = {};
  stands_for_ = {};
}

void InodeBinding::own(const HandleKey& key, std::uint64_t identity) {
  const auto [at, is_new] = owner_.try_emplace(key, identity);
  if (!is_new && at->second != identity) stands_for_.erase(std::exchange(at->second, identity));
  const HandleKey*& stands = stands_for_[identity];
  const HandleKey* before = std::exchange(stands, &at->first);
  if (before != nullptr && before != stands) owner_.erase(*before);
}

Status InodeBinding::bind(const wire::Bind& bind) {
  if (bind.at.root >= roots_.size()) return Error{Code::Corrupt, "unknown replicated directory"};
  if (tracking_) {
    if (auto standing = standing_for(bind.identity)) {
      struct stat st {};
      if (::fstat(standing->fd.get(), &st) == 0) {
        set(bind.id, bind.identity, std::move(standing->key), st.st_mode & S_IFMT);
        return {};
      }
    }
  }
  SK_TRY(const Fd fd, open_beneath(root_fd(bind.at.root), bind.at.path));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return system_error("stat", errno);
  SK_TRY(auto key, key_at(place(bind.at.root), fd.get(), ""));
  if (!is_free_for(key, bind.identity)) return Error{Code::Conflict, fmt::format("'{}' stands for another inode", bind.at.path)};
  set(bind.id, bind.identity, std::move(key), st.st_mode & S_IFMT);
  return {};
}

void InodeBinding::set(InodeId id, std::uint64_t identity, HandleKey key, mode_t type, SharedFd fd) {
  forget(id);
  if (tracking_ && identity != 0) own(key, identity);
  ids_[id.value] = Bound{std::move(key), type};
  if (fd) remember(id, std::move(fd));
}

void InodeBinding::forget(InodeId id) {
  ids_.erase(id.value);
  const auto cached = cache_.find(id.value);
  if (cached == cache_.end()) return;
  recent_.erase(cached->second.place);
  cache_.erase(cached);
}

const InodeBinding::Bound* InodeBinding::find(InodeId id) const {
  const auto found = ids_.find(id.value);
  return found == ids_.end() ? nullptr : &found->second;
}

Result<SharedFd> InodeBinding::descriptor(InodeId id) {
  const auto cached = cache_.find(id.value);
  if (cached != cache_.end()) {
    recent_.splice(recent_.begin(), recent_, cached->second.place);
    return cached->second.fd;
  }
  const Bound* bound = find(id);
  if (bound == nullptr) return Error{Code::NotFound, fmt::format("inode {} is not known", id.value)};
  SK_TRY(const FileHandle handle, from_key(bound->key));
  if (handle.root >= roots_.size()) return Error{Code::Corrupt, "unknown replicated directory"};
  SK_TRY(Fd fd, open_key(root_fd(handle.root), bound->key, flags_for(bound->type)));
  auto shared = std::make_shared<const Fd>(std::move(fd));
  remember(id, shared);
  return shared;
}

Result<SharedFd> InodeBinding::directory(InodeId id) {
  SK_TRY(auto fd, descriptor(id));
  // The kernel gives no parent that is outside of the mount, whose root is the root of the tree.
  if (::faccessat(fd->get(), "..", F_OK, 0) != 0) {
    return system_error(fmt::format("inode {} is not in the replicated directory any more", id.value), errno);
  }
  return fd;
}

void InodeBinding::remember(InodeId id, SharedFd fd) {
  while (cache_.size() >= kDescriptorsMax) {
    cache_.erase(recent_.back());
    recent_.pop_back();
  }
  recent_.push_front(id.value);
  cache_[id.value] = Cached{std::move(fd), recent_.begin()};
}

std::optional<InodeBinding::Standing> InodeBinding::standing_for(std::uint64_t identity) {
  const auto found = stands_for_.find(identity);
  if (found == stands_for_.end()) return std::nullopt;
  const HandleKey& key = *found->second;
  const auto handle = from_key(key);
  if (handle && handle->root < roots_.size()) {
    auto fd = open_key(root_fd(handle->root), key, O_PATH);
    struct stat st {};
    if (fd && ::fstat(fd->get(), &st) == 0 && st.st_nlink > 0) return Standing{key, std::move(*fd)};
  }
  owner_.erase(owner_.find(key));
  stands_for_.erase(found);
  return std::nullopt;
}

bool InodeBinding::is_free_for(const HandleKey& key, std::uint64_t identity) const {
  if (!tracking_) return true;
  const auto found = owner_.find(key);
  return found == owner_.end() || found->second == identity;
}

}  // namespace safekit::replica
