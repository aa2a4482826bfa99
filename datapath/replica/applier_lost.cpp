// What the applier removes, and what it does before it destroys something of a copy that had writes of its own.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <unordered_set>

#include "datapath/replica/applier.h"
#include "datapath/replica/touch.h"
#include "datapath/replica/tree_call.h"

namespace safekit::replica {

Status Applier::remove_entry(int directory, std::uint32_t root, const std::string& name) {
  if (keeper_) {
    SK_TRY_VOID(keeper_->removal(inodes_.place(root), directory, keeper_->path_of(root, directory), name));
    SK_TRY_VOID(keeper_->settle());
  }
  return tree::remove_all(directory, name);
}

Status Applier::remove_unlisted(int directory, std::uint32_t root, const wire::Listing& listing) {
  std::unordered_set<std::string_view> wanted;
  for (const auto& entry : listing.entries) wanted.insert(entry.name);
  std::string below_root;
  if (exclusion(root).needs_paths()) {
    SK_TRY(below_root, tree::path_below(inodes_.root_fd(root), directory));
  }
  std::vector<std::string> names;
  SK_TRY(auto here, tree::entries_of(directory));
  for (std::string& name : here) {
    if (wanted.contains(name)) continue;
    SK_TRY(const bool left, stays(exclusion(root), directory, below_root, name));
    if (!left) names.push_back(std::move(name));
  }
  if (keeper_ && !names.empty()) {
    // All are put on the disk at once.
    const std::string path = keeper_->path_of(root, directory);
    for (const std::string& name : names) SK_TRY_VOID(keeper_->removal(inodes_.place(root), directory, path, name));
    SK_TRY_VOID(keeper_->settle());
  }
  for (const std::string& name : names) SK_TRY_VOID(tree::remove_all(directory, name));
  return {};
}

Status Applier::set_aside(const wire::Operation& operation, BytesView data) {
  const Touch touch = touch_of(operation);
  if ((touch.what & (Touch::kContent | Touch::kAttributes)) == 0) return {};
  const auto* bound = inodes_.find(touch.id);
  if (bound == nullptr) return {};  // nothing can be done to it either
  const HandleKey key = bound->key;
  const auto opened = inodes_.descriptor(touch.id);
  if (!opened) return {};
  const int fd = (*opened)->get();
  if ((touch.what & Touch::kContent) != 0) {
    const std::uint64_t end = touch.size > UINT64_MAX - touch.offset ? UINT64_MAX : touch.offset + touch.size;
    const auto* allocate = std::get_if<wire::Fallocate>(&operation);
    constexpr std::uint32_t kHarmless = FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE;
    if (allocate == nullptr || (allocate->mode & ~kHarmless) != 0) {
      SK_TRY_VOID(keeper_->content(touch.id, key, fd, {touch.offset, end}, data));
    }
  }
  if (const auto* op = std::get_if<wire::SetAttributes>(&operation)) SK_TRY_VOID(keeper_->attributes(touch.id, key, fd, *op));
  if (const auto* op = std::get_if<wire::SetXattr>(&operation)) SK_TRY_VOID(keeper_->xattr(touch.id, key, fd, *op));
  return keeper_->settle();
}

Status Applier::set_aside(const wire::InodeState& state, int fd) {
  const auto* bound = inodes_.find(state.id);
  if (bound == nullptr) return {};
  const HandleKey key = bound->key;
  SK_TRY_VOID(keeper_->attributes(state.id, key, fd, state));
  return keeper_->settle();
}

/// What a rename is about to take the name of.
Status Applier::set_target_aside(const wire::Rename& op, int from, int to) {
  if ((op.flags & RENAME_EXCHANGE) != 0) return {};
  SK_TRY(const std::uint32_t root, root_of(op.new_parent));
  SK_TRY(const std::uint32_t old_root, root_of(op.parent));
  const auto moved = key_at(inodes_.place(old_root), from, op.name);
  const auto target = key_at(inodes_.place(root), to, op.new_name);
  if (!target || (moved && *moved == *target)) return {};  // two names of one file: nothing is done
  SK_TRY_VOID(keeper_->removal(inodes_.place(root), to, keeper_->path_of(root, to), op.new_name));
  return keeper_->settle();
}

}  // namespace safekit::replica
