#include "datapath/fuse/outbox.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <ctime>

namespace safekit::fuse {
namespace {

/// How long a changed mtime may be unknown to the peer while the file stays open or the directory in use.
constexpr std::chrono::milliseconds kMtimeDelay{250};

}  // namespace

wire::Attributes to_attributes(const struct stat& from) {
  return {.mode = from.st_mode,
          .uid = from.st_uid,
          .gid = from.st_gid,
          .device = from.st_rdev,
          .size = static_cast<std::uint64_t>(from.st_size),
          .mtime = {.seconds = from.st_mtim.tv_sec,
                    .nanoseconds = static_cast<std::uint32_t>(from.st_mtim.tv_nsec)}};
}

Outbox::Outbox(const Options& options, replica::Sink& sink, replica::TreeOrder& order, InodeTable& inodes)
    : options_(options), sink_(sink), order_(order), inodes_(inodes) {}

void Outbox::start() {
  stopping_ = false;
  inodes_.on_retired([this] {
    const std::lock_guard lock{mutex_};
    if (!std::exchange(retired_, true)) wake_.notify_one();
  });
  inodes_.on_tell_time([this](Inode& inode) { append_mtime(inode); });
  inodes_.on_tell_times([this] { send_due(); });
  housekeeper_ = std::thread{[this] { keep_house(); }};
}

void Outbox::stop() {
  if (!housekeeper_.joinable()) return;
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  wake_.notify_one();
  housekeeper_.join();
}

Call<replica::ChangeScope> Outbox::changing(std::initializer_list<replica::Change> changes) {
  auto scope = replica::ChangeScope::begin(sink_, changes);
  if (!scope) return Errno{EIO};
  return std::move(*scope);
}

SequenceNumber Outbox::append(const wire::Operation& operation, BytesView data) {
  return sink_.append(operation, data);
}

std::optional<SequenceNumber> Outbox::append_to(Inode& inode, const wire::Operation& operation,
                                                BytesView data) {
  if (inode.nameless) return std::nullopt;
  const SequenceNumber sequence = append(operation, data);
  inode.last_sequence = sequence.value;
  return sequence;
}

void Outbox::append_mtime(Inode& inode) {
  if (!inode.touched.exchange(false) || inode.nameless) return;
  const auto fd = inodes_.any_fd(inode);
  struct stat attributes {};
  if (!fd || ::fstatat((*fd)->get(), "", &attributes, AT_EMPTY_PATH) != 0) return;  // gone: nothing to tell
  const auto scope = changing({{.what = replica::Change::What::Attributes, .id = noted_id(inode)}});
  if (!scope) {
    touch(inode);  // it is due again
    return;
  }
  append_to(inode, wire::SetAttributes{.id = inode.id,
                                       .mask = wire::SetAttributes::kMtime,
                                       .attributes = to_attributes(attributes)});
}

void Outbox::append_likely_mtime(Inode& inode) {
  if (!inode.touched || inode.time_told != TimeTold::Not) return;
  struct stat likely {};
  (void)::clock_gettime(CLOCK_REALTIME, &likely.st_mtim);
  append_provisional_mtime(inode, likely, TimeTold::Likely);
}

void Outbox::append_seen_mtime(Inode& inode, const struct stat& attributes) {
  if (!inode.touched || inode.time_told == TimeTold::Seen) return;
  append_provisional_mtime(inode, attributes, TimeTold::Seen);
}

void Outbox::append_provisional_mtime(Inode& inode, const struct stat& attributes, TimeTold told) {
  inode.time_told = told;
  append_to(inode, wire::SetAttributes{.id = inode.id,
                                       .mask = wire::SetAttributes::kMtime | wire::SetAttributes::kProvisional,
                                       .attributes = to_attributes(attributes)});
}

void Outbox::touch(Inode& inode) {
  inode.touched = true;
  inode.time_told = TimeTold::Not;
  if (inode.nameless || inode.queued.exchange(true)) return;
  inodes_.pin(inode);
  const std::lock_guard lock{mutex_};
  due_.push_back(&inode);
  if (due_.size() == 1) wake_.notify_one();
}

void Outbox::let_go(Inode* inode) {
  if (inode == nullptr || !inode->nameless || !inode->queued) return;
  {
    const std::lock_guard lock{mutex_};
    const auto found = std::ranges::find(due_, inode);
    if (found == due_.end()) return;
    *found = due_.back();
    due_.pop_back();
    inode->queued = false;
  }
  inodes_.unpin(inode->id);
}

Call<void> Outbox::wait(SequenceNumber sequence, replica::Acknowledged level) {
  if (!sink_.wait(sequence, level)) return Errno{EIO};
  return {};
}

Call<void> Outbox::permit() {
  if (!sink_.permit()) return Errno{EIO};
  return {};
}

/// However long this process stood still meanwhile.
Call<void> Outbox::wait_and_permit(SequenceNumber sequence, replica::Acknowledged level) {
  SK_TRY_VOID(wait(sequence, level));
  return permit();
}

Call<void> Outbox::after_change(SequenceNumber sequence) {
  if (options_.durability != Durability::Write) return permit();
  return wait_and_permit(sequence, replica::Acknowledged::Received);
}

Call<void> Outbox::after_open(const Inode& inode) {
  if (options_.durability != Durability::Write) return {};
  return wait(SequenceNumber{inode.last_sequence}, replica::Acknowledged::Received);
}

Call<void> Outbox::after_close(const Inode& inode) {
  return wait_and_permit(SequenceNumber{inode.last_sequence}, replica::Acknowledged::Received);
}

Call<void> Outbox::after_sync(std::optional<SequenceNumber> sequence) {
  if (!sequence) return {};
  return wait_and_permit(*sequence, options_.fsync_level);
}

void Outbox::keep_house() {
  std::unique_lock lock{mutex_};
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || retired_ || !due_.empty(); });
    // Let changes gather; the next ones of the same inodes cost nothing.
    wake_.wait_for(lock, kMtimeDelay, [this] { return stopping_; });
    const bool last = stopping_;
    retired_ = false;
    lock.unlock();
    send_due();
    for (const InodeId id : inodes_.retired()) {
      append(wire::Forget{.id = id});
      inodes_.drop(id);
    }
    lock.lock();
    if (last) return;
  }
}

void Outbox::send_due() {
  const std::lock_guard sending{send_mutex_};
  std::vector<Inode*> due;
  {
    const std::lock_guard lock{mutex_};
    due.swap(due_);
  }
  for (Inode* inode : due) {
    {
      const auto content = order_.content(inode->id);
      inode->queued = false;  // first: a touch from here on queues it again
      append_mtime(*inode);
    }
    inodes_.unpin(inode->id);
  }
}

}  // namespace safekit::fuse
