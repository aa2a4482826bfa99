#pragma once

#include <sys/types.h>

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/linux/mounts.h"
#include "datapath/replica/handle.h"
#include "datapath/wire/operation.h"

namespace safekit::replica {

using SharedFd = std::shared_ptr<const Fd>;

/// An O_PATH descriptor of what stands at a relative path; symbolic links and mounts are not followed. Errors: NotFound, Conflict, Io.
Result<Fd> open_beneath(int root, std::string path);

/// The secondary's side of inode ids: id to file handle and a bounded cache of open descriptors. During a
/// resynchronisation also which inode of the primary (identity) each local inode stands for, so that two inodes of the
/// primary never share one here (an old hard link) and one is never two. Nothing that is mounted inside a tree is entered.
/// Thread: the receiver's. A service.
class InodeBinding {
 public:
  static constexpr std::size_t kDescriptorsMax = 2048;

  explicit InodeBinding(std::vector<std::string> paths) : paths_(std::move(paths)) {}
  /// Opens the directories themselves, to be called before something is mounted over them. Errors: NotFound, Invalid, Io.
  Status open_roots();
  /// A new connection: only the roots are known (ids 1 + index).
  Status reset();

  [[nodiscard]] int root_fd(std::uint32_t root) const { return roots_[root].tree.directory.get(); }
  [[nodiscard]] Place place(std::uint32_t root) const { return {root, roots_[root].mount_id}; }
  [[nodiscard]] std::size_t root_count() const { return roots_.size(); }
  [[nodiscard]] const std::string& root_path(std::uint32_t root) const { return paths_[root]; }

  void track_identities(bool on);
  /// The id for what stands at a path. Errors: NotFound; Conflict when that inode stands for another one already.
  Status bind(const wire::Bind& bind);
  /// The id for an inode that has just been made or found. `fd` may be empty; else it is cached and must be as
  /// `descriptor` opens it.
  void set(InodeId id, std::uint64_t identity, HandleKey key, mode_t type, SharedFd fd = {});
  void forget(InodeId id);

  struct Bound {
    HandleKey key{};
    mode_t type{0};
  };
  [[nodiscard]] const Bound* find(InodeId id) const;
  /// O_RDWR for a regular file, O_RDONLY for a directory, O_PATH for anything else. Errors: NotFound (unknown id, or the
  /// inode is gone), Io.
  Result<SharedFd> descriptor(InodeId id);
  /// The same for a directory in which names are changed: it must still lie in its tree. A handle leads to it wherever
  /// somebody on this node has moved it. Errors: NotFound also for one that was moved out.
  Result<SharedFd> directory(InodeId id);

  /// The local inode that stands for an identity, if it still exists; an O_PATH descriptor.
  struct Standing {
    HandleKey key{};
    Fd fd{};
  };
  [[nodiscard]] std::optional<Standing> standing_for(std::uint64_t identity);
  /// Nobody's, or this identity's.
  [[nodiscard]] bool is_free_for(const HandleKey& key, std::uint64_t identity) const;

 private:
  struct Root {
    mounts::Alone tree{};
    int mount_id{-1};
  };
  struct Cached {
    SharedFd fd{};
    std::list<std::uint64_t>::iterator place{};
  };
  void remember(InodeId id, SharedFd fd);
  void own(const HandleKey& key, std::uint64_t identity);

  std::vector<std::string> paths_{};
  std::vector<Root> roots_{};
  std::unordered_map<std::uint64_t, Bound> ids_{};
  std::unordered_map<std::uint64_t, Cached> cache_{};
  std::list<std::uint64_t> recent_{};
  bool tracking_{false};
  std::unordered_map<HandleKey, std::uint64_t> owner_{};
  std::unordered_map<std::uint64_t, const HandleKey*> stands_for_{};  ///< the key lies in owner_, of which this is the inverse
};

}  // namespace safekit::replica
