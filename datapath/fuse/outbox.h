#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "datapath/fuse/inode_table.h"
#include "datapath/fuse/options.h"

namespace safekit::fuse {

[[nodiscard]] wire::Attributes to_attributes(const struct stat& from);

/// For `changing`: nothing is noted of what is not replicated. If it comes in meanwhile, its new place is noted with all that it
/// holds then.
[[nodiscard]] inline InodeId noted_id(const Inode& inode) { return inode.nameless ? InodeId{} : inode.id; }

/// Hands what was done to the sink, lets calls wait as the durability asks, and sends the mtimes that follow
/// later. A service. mtimes: an application's write and the peer's differ in time, so the mtime travels by
/// itself: of a file at close and fsync, and of everything else (directories whose entries changed, files
/// written and kept open) by a housekeeping thread a quarter of a second after the first change; sending it
/// with each operation would nearly double the stream. Thread: any.
class Outbox {
 public:
  Outbox(const Options& options, replica::Sink& sink, replica::TreeOrder& order, InodeTable& inodes);
  ~Outbox() { stop(); }
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void start();
  /// Returns when all mtimes and forgets are appended.
  void stop();

  /// Before the local call of each of them, until it is appended. Ids by `noted_id`. Errors: EIO when nothing may be changed.
  [[nodiscard]] Call<replica::ChangeScope> changing(std::initializer_list<replica::Change> changes);
  /// Before the scope of `changing` ends: what failed may have been made in part, or the peer cannot be told of it.
  void doubt(const replica::Change& change) {
    if (change.id.value != 0) sink_.doubt(change);
  }
  /// The caller holds names exclusively (Create, Link, Remove, Rename) or content(id).
  SequenceNumber append(const wire::Operation& operation, BytesView data = {});
  /// An operation on one inode; nothing happens if it has no name. The caller holds content(id).
  std::optional<SequenceNumber> append_to(Inode& inode, const wire::Operation& operation,
                                          BytesView data = {});
  /// The mtime that is due, if any. The caller holds content(id).
  void append_mtime(Inode& inode);
  /// At an fsync, where nobody may have seen the mtime: one for now that is no earlier; the true one stays due. To look at it would have the
  /// kernel give the next write another one (multigrain timestamps), which each fsync here then had to bring to disk, and the
  /// peer would have an inode to write for each. The caller holds content(id).
  void append_likely_mtime(Inode& inode);
  /// Of `attributes`, which somebody is about to see: the peer has that one for now. The caller holds content(id) since before it was read.
  void append_seen_mtime(Inode& inode, const struct stat& attributes);
  /// What was appended goes out now. No lock is held.
  void send() { sink_.send(); }
  /// The mtime of the inode has changed and is due.
  void touch(Inode& inode);
  /// One that has no name any more is held for no mtime: its room on the disk may be wanted at once. Nothing happens to others.
  void let_go(Inode* inode);

  // Waits; the caller holds no lock. Errors: EIO when this node must not acknowledge writes.
  /// Before a call that changes something takes its first lock, and as the last thing that all below do.
  Call<void> permit();
  Call<void> after_change(SequenceNumber sequence);
  Call<void> after_change(const Inode& inode) { return after_change(SequenceNumber{inode.last_sequence}); }
  /// Of an open that changes nothing: what is read next may not be the peer's yet.
  Call<void> after_open(const Inode& inode);
  Call<void> after_close(const Inode& inode);
  /// Of a Sync; none was sent for an inode without a name.
  Call<void> after_sync(std::optional<SequenceNumber> sequence);
  [[nodiscard]] bool writes_back() const { return options_.write_back; }
  [[nodiscard]] bool waits_on_close() const { return options_.durability != Durability::Fsync; }

 private:
  Call<void> wait(SequenceNumber sequence, replica::Acknowledged level);
  Call<void> wait_and_permit(SequenceNumber sequence, replica::Acknowledged level);
  void keep_house();
  void append_provisional_mtime(Inode& inode, const struct stat& attributes, TimeTold told);
  void send_due();

  const Options& options_;
  replica::Sink& sink_;
  replica::TreeOrder& order_;
  InodeTable& inodes_;
  std::mutex mutex_{};
  std::condition_variable wake_{};
  std::vector<Inode*> due_{};  ///< pinned
  bool retired_{false};
  bool stopping_{false};
  std::mutex send_mutex_{};  ///< held while what was due is sent; before any other lock
  std::thread housekeeper_{};
};

}  // namespace safekit::fuse
