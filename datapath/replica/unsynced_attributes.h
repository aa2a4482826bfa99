#pragma once

#include <atomic>
#include <cstdint>
#include <unordered_set>

#include "schema/base/ids.h"

namespace safekit::replica {

/// Of which inodes more was changed than content and times since they were last brought to disk. For all others fdatasync(2) does
/// what a replica owes to an fsync(2), and spares the journal of the file system: times follow with the next checkpoint.
/// Thread: the receiver's, but `all_synced`. A value; pure.
class UnsyncedAttributes {
 public:
  static constexpr std::size_t kMax = 1U << 16;  ///< about 3 MB; above it every sync is a whole one until the next checkpoint

  void changed(InodeId id) {
    if (now_.any) return;
    now_.ids.insert(id.value);
    bound(now_);
  }
  /// A sync of this inode is begun: whether it has to be a whole one. What is changed from here on is for the next.
  [[nodiscard]] bool take(InodeId id) {
    drop_synced();
    const bool found = now_.ids.erase(id.value) + before_.ids.erase(id.value) > 0;
    return found || now_.any || before_.any;
  }
  /// All is going to be brought to disk; when it is there, `all_synced` is told the number.
  [[nodiscard]] std::uint64_t begin_sync_all() {
    drop_synced();
    before_.ids.merge(now_.ids);
    before_.any = before_.any || now_.any;
    bound(before_);
    now_ = {};
    return ++begun_;
  }
  /// Thread: any.
  void all_synced(std::uint64_t number) {
    for (std::uint64_t known = synced_; known < number && !synced_.compare_exchange_weak(known, number);) {
    }
  }
  /// A new connection: what was done before is not known here.
  void forget() { now_ = {.ids = {}, .any = true}; }

 private:
  struct Changed {
    std::unordered_set<std::uint64_t> ids{};
    bool any{false};  ///< then `ids` is empty
  };
  static void bound(Changed& changed) {
    if (changed.any || changed.ids.size() > kMax) changed = {.ids = {}, .any = true};
  }
  /// Also where no sync asks: else each file that was ever made would be kept.
  void drop_synced() {
    if (synced_ == begun_) before_ = {};
  }
  Changed now_{.ids = {}, .any = true};
  Changed before_{};  ///< the sync of all that was begun last
  std::uint64_t begun_{0};
  std::atomic<std::uint64_t> synced_{0};
};

}  // namespace safekit::replica
