// Checkpoints of the log of activity: both nodes put all on disk, and what was noted before is forgotten.
#include "datapath/replica/primary.h"

namespace safekit::replica {

namespace {

constexpr Duration kLookEvery = seconds{1};
constexpr Duration kCheckpointEvery = seconds{60};
constexpr Duration kCheckpointsApart = seconds{5};  ///< at least; both disks are busy with one for a while
constexpr Duration kIdleFor = seconds{5};           ///< then it costs nobody anything
constexpr std::size_t kEntriesWanted = 8192;        ///< so many are compared in a moment
constexpr Duration kSyncMax = seconds{600};         ///< a file system may take long to write all that it holds
constexpr const char* kLog = "primary";

}  // namespace

void Primary::keep_checkpoints() {
  Lock lock{mutex_};
  while (!stopped_) {
    checkpointer_.wait_for(lock, kLookEvery, [this] { return stopped_ || checkpoint_wanted_; });
    const MonoTime now = clock_.mono_now();
    if (!stopped_ && fenced_) mend_journal(lock);
    if (!stopped_) mend_activity(lock, now);
    if (stopped_ || !checkpoint_due(now)) {
      checkpoint_wanted_ = false;
      continue;
    }
    checkpoint_wanted_ = false;
    checkpoint_at_ = now;
    lock.unlock();
    const Status done = checkpoint();
    lock.lock();
    // What was noted stays noted: the next one takes its place.
    if (!done && !stopped_) log_.write(LogLevel::Info, kLog, fmt::format("checkpoint=none reason='{}'", done.error().what));
  }
}

/// Caller holds mutex_.
bool Primary::checkpoint_due(MonoTime now) {
  if (std::exchange(looked_at_, sequence_) != sequence_) idle_since_ = now;
  if (!link_ || !synchronised_ || mode_ != Mode::Mirroring || activity_->point().id == 0) return false;
  const std::size_t entries = activity_->entries();
  if (entries == 0 && !log_fresh_) return false;
  if (checkpoint_wanted_) return true;
  const Duration since = now - checkpoint_at_;
  if (since < kCheckpointsApart) return false;
  if (log_fresh_) return true;
  return since >= kCheckpointEvery || entries >= kEntriesWanted || now - idle_since_ >= kIdleFor;
}

/// Caller holds no lock.
Status Primary::checkpoint() {
  SK_TRY(const journal::LogPoint point, activity_->rotate());
  activity_->await_older();
  // A time that is told after the checkpoint and lost with this node would be of an inode that no log names.
  inodes_->tell_times();
  std::shared_ptr<Link> link;
  std::uint64_t sequence = 0;
  {
    const std::lock_guard lock{mutex_};
    if (!link_ || !synchronised_) return Error{Code::Unavailable, "the connection was lost"};
    link = link_;
    push(wire::Checkpoint{{point.id, point.checkpoint}}, {}, {});
    sequence = sequence_ - link->base;
    sender_parked_ = false;
    sender_.notify_one();
  }
  // The peer does the same meanwhile.
  if (!sync_roots()) return Error{Code::Io, "this node's file system cannot be synced"};
  {
    Lock lock{mutex_};
    SK_TRY_VOID(await_durable(lock, *link, sequence, kSyncMax));
  }
  SK_TRY_VOID(activity_->confirm(point));
  {
    const std::lock_guard lock{mutex_};
    log_fresh_ = false;
  }
  SK_TRY_VOID(journal_.update([&](journal::State& state) {
    resync::watch_until(state, linux_os::file_moment(), settings_.boot_id);
  }));
  log_.write(LogLevel::Info, kLog, fmt::format("checkpoint={} entries={}", point.checkpoint, activity_->entries()));
  return {};
}

}  // namespace safekit::replica
