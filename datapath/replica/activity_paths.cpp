#include "datapath/replica/activity_paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "datapath/replica/handle.h"
#include "datapath/replica/tree_call.h"

namespace safekit::replica {

namespace {

bool same(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

Error unsure(const std::string& what) { return Error{Code::Conflict, what}; }

std::optional<std::string> link_of(int fd) {
  std::array<char, 4096> text{};
  const ssize_t size = ::readlink(tree::proc_path(fd).c_str(), text.data(), text.size());
  if (size <= 0 || static_cast<std::size_t>(size) == text.size()) return std::nullopt;
  return std::string{text.data(), static_cast<std::size_t>(size)};
}

/// As the kernel knows it, which for a directory it always does. Errors: Conflict when that leads elsewhere.
Result<std::string> path_below(int root, int fd) {
  struct stat wanted {};
  if (::fstat(fd, &wanted) != 0) return system_error("stat", errno);
  struct stat top {};
  if (::fstat(root, &top) == 0 && same(top, wanted)) return std::string{};
  const auto above = link_of(root);
  const auto full = link_of(fd);
  if (!above || !full) return unsure("a path is too long");
  const std::string prefix = *above == "/" ? *above : *above + "/";
  if (full->size() <= prefix.size() || full->compare(0, prefix.size(), prefix) != 0) return unsure("a path leads out of the tree");
  std::string path = full->substr(prefix.size());
  struct stat found {};
  if (::fstatat(root, path.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0 || !same(found, wanted)) {
    return unsure(fmt::format("'{}' is not what it was", path));
  }
  return path;
}

/// One inode of a log; nothing when it has no path of its own that needs a look.
class Resolver {
 public:
  Resolver(const journal::Activity& activity, const std::vector<int>& roots) : activity_(activity), roots_(roots) {}

  Result<std::optional<wire::TreePath>> resolve(const HandleKey& key, const journal::ActiveInode& inode) {
    SK_TRY(const FileHandle handle, from_key(key));
    if (handle.root >= roots_.size()) return unsure("the replicated directories were changed");
    const int root = roots_[handle.root];
    SK_TRY(const auto fd, open(root, key));
    if (!fd) return std::optional<wire::TreePath>{};
    struct stat st {};
    if (::fstat(fd->get(), &st) != 0) return system_error("stat", errno);
    if (st.st_nlink == 0) return std::optional<wire::TreePath>{};
    if (S_ISDIR(st.st_mode)) {
      SK_TRY(auto path, path_below(root, fd->get()));
      return std::optional{wire::TreePath{handle.root, std::move(path)}};
    }
    if (st.st_nlink > 1) return unsure("a file with several names was touched");
    if (inode.name.empty()) {
      SK_TRY(auto path, path_below(root, fd->get()));
      return std::optional{wire::TreePath{handle.root, std::move(path)}};
    }
    return in_parent(handle.root, inode, st);
  }

 private:
  Result<std::optional<Fd>> open(int root, const HandleKey& key) {
    auto fd = open_key(root, key, O_PATH);
    if (fd) return std::optional{std::move(*fd)};
    if (fd.error().code == Code::NotFound) return std::optional<Fd>{};
    return fd.error();
  }

  /// Where it was when it was first touched. If it was moved since, its directories were noted: it is compared with them.
  Result<std::optional<wire::TreePath>> in_parent(std::uint32_t root, const journal::ActiveInode& inode, const struct stat& st) {
    SK_TRY(const auto parent, open(roots_[root], inode.parent));
    if (!parent) return std::optional<wire::TreePath>{};
    struct stat found {};
    const bool there = ::fstatat(parent->get(), inode.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && errno != ENOENT) return system_error("stat", errno);
    if (!there || !same(found, st)) {
      const auto above = activity_.inodes.find(inode.parent);
      if (above != activity_.inodes.end() && above->second.names) return std::optional<wire::TreePath>{};
      return unsure(fmt::format("'{}' was moved", inode.name));
    }
    SK_TRY(auto path, path_below(roots_[root], parent->get()));
    path += (path.empty() ? "" : "/") + inode.name;
    return std::optional{wire::TreePath{root, std::move(path)}};
  }

  const journal::Activity& activity_;
  const std::vector<int>& roots_;
};

/// The inode at a path, pinned; the caller holds names. Errors: NotFound, Io.
Result<InodeId> pin_path(Inodes& inodes, const wire::TreePath& at) {
  std::vector<InodeId> pinned;
  Result<InodeId> found{inodes.root_id(at.root)};
  for (std::size_t begin = 0; found && begin < at.path.size();) {
    const std::size_t end = std::min(at.path.find('/', begin), at.path.size());
    found = inodes.pin(*found, at.path.substr(begin, end - begin));
    if (found) pinned.push_back(*found);
    begin = end + 1;
  }
  if (found && !pinned.empty()) pinned.pop_back();
  for (const InodeId id : pinned) inodes.unpin(id);
  return found;
}

}  // namespace

Result<std::vector<wire::ActiveEntry>> to_paths(const journal::Activity& activity, const std::vector<int>& roots) {
  if (activity.everything) return unsure("too much was touched");
  Resolver resolver{activity, roots};
  std::vector<wire::ActiveEntry> entries;
  for (const auto& [key, inode] : activity.inodes) {
    SK_TRY(auto at, resolver.resolve(key, inode));
    if (at) entries.push_back(to_entry(inode, std::move(*at)));
  }
  return entries;
}

Status mark_paths(const std::vector<wire::ActiveEntry>& entries, Inodes& inodes, TreeOrder& order, journal::ZoneMap& marks) {
  for (const wire::ActiveEntry& entry : entries) {
    if (entry.at.root >= inodes.root_count()) return Error{Code::Corrupt, "unknown replicated directory"};
    const auto names = order.names_shared();
    const auto id = pin_path(inodes, entry.at);
    if (!id) {
      if (id.error().code == Code::NotFound) continue;  // it was removed or moved here, which is noted here
      return id.error();
    }
    const auto handle = inodes.handle_of(*id);
    const auto place = inodes.place_of(*id);
    if (!entry.at.path.empty()) inodes.unpin(*id);
    SK_TRY_VOID(handle);
    journal::ActiveInode active = to_active(entry);
    if (place) {
      active.parent = to_key(place->parent);
      active.name = place->name;
    }
    marks.add(to_key(*handle), active);
  }
  return {};
}

journal::ActiveInode to_active(const wire::ActiveEntry& entry) {
  journal::ActiveInode active{.attributes = entry.attributes, .names = entry.names};
  if (entry.groups_from != UINT64_MAX) active.groups.add(entry.groups_from, 0);
  for (const auto& [word, bits] : entry.groups) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      // Above the bound it means all to the end, so a number that cannot be stands for no less than it says.
      if ((bits >> bit & 1) != 0) active.groups.add(std::min(word, journal::kGroupsOfOneMax / 64) * 64 + bit, 1);
    }
  }
  active.trees.insert(entry.trees.begin(), entry.trees.end());
  return active;
}

wire::ActiveEntry to_entry(const journal::ActiveInode& inode, wire::TreePath at) {
  return {.at = std::move(at),
          .attributes = inode.attributes,
          .names = inode.names,
          .groups_from = inode.groups.from,
          .groups = {inode.groups.words.begin(), inode.groups.words.end()},
          .trees = {inode.trees.begin(), inode.trees.end()}};
}

}  // namespace safekit::replica
