// What a primary asks of the secondary's disk: syncs, checkpoints, digests, and the end of a connection in order.
#include <unistd.h>

#include <cerrno>

#include "datapath/replica/secondary.h"

namespace safekit::replica {

namespace {

Status sync_descriptor(int fd, bool data_only) {
  if ((data_only ? ::fdatasync(fd) : ::fsync(fd)) == 0 || errno == EINVAL || errno == EBADF) return {};
  return system_error("sync", errno);
}

}  // namespace

Status Secondary::sync_soon(const StreamRef& stream, const wire::Sync& sync) {
  auto fd = applier_.descriptor(sync.id);
  const SequenceNumber sequence{received_};
  if (!fd) {
    if (fd.error().code != Code::NotFound) return fd.error();
    // Its name is gone here as on the primary: nothing of it is left to lose.
    (void)send_message(*stream, wire::Durable{sequence}, settings_.send_timeout);  // a lost stream shows at the next read
    return {};
  }
  syncs_first_.begun();
  pending_sync_ = PendingSync{sequence, std::move(*fd), sync.data_only || !applier_.take_unsynced(sync.id)};
  return {};
}

/// More follows in the stream: it must not wait for a disk.
void Secondary::sync_later(const StreamRef& stream) {
  syncs_->run(
      [this, stream, sync = std::move(*pending_sync_)] {
        const Status synced = sync_descriptor(sync.fd->get(), sync.data_only);
        syncs_first_.ended();
        if (!synced) {
          // What the kernel could not write may be lost: this copy cannot be trusted any more.
          fail(*stream, synced.error());
          return;
        }
        (void)send_message(*stream, wire::Durable{sync.sequence}, settings_.send_timeout);  // the receiver sees a lost stream
      });
  pending_sync_.reset();
}

/// Nothing follows and the disk is quick: another thread would only have to be woken. Answers all that was received.
Status Secondary::sync_here(const StreamRef& stream) {
  const PendingSync sync = std::move(*pending_sync_);
  pending_sync_.reset();
  const MonoTime began = clock_.mono_now();
  SK_TRY_VOID(sync_descriptor(sync.fd->get(), sync.data_only));
  syncs_first_.ended();
  sync_takes_ = (sync_takes_ * 7 + (clock_.mono_now() - began)) / 8;
  acknowledged_ = received_;
  unacknowledged_bytes_ = 0;
  has_synced_ = true;
  return send_message(*stream, wire::Durable{sync.sequence}, settings_.send_timeout);
}

void Secondary::sync_all_later(const StreamRef& stream) {
  const SequenceNumber sequence{received_};
  syncs_first_.begun();
  syncs_->run(
      [this, stream, sequence] {
        const Status synced = applier_.sync_all();
        syncs_first_.ended();
        if (!synced) {
          fail(*stream, synced.error());
          return;
        }
        (void)send_message(*stream, wire::Durable{sequence}, settings_.send_timeout);  // a lost stream shows elsewhere
      });
}

Status Secondary::checkpoint(const StreamRef& stream, const wire::Checkpoint& checkpoint) {
  if (applier_.in_resync()) return Error{Code::Corrupt, "a checkpoint during a synchronisation"};
  const SequenceNumber sequence{received_};
  syncs_->run(
      [this, stream, sequence, spoiled = spoiled_before_, log = checkpoint.log, all = applier_.unsynced().begin_sync_all()] {
        bool valid = false;
        const linux_os::FileMoment moment = look_outside();
        Status done = applier_.sync_all();
        if (done) {
          applier_.unsynced().all_synced(all);
          done = journal_.update([&](journal::State& state) {
            const std::lock_guard lock{mutex_};
            valid = !stopped_ && spoiled_ == spoiled;
            if (!valid) return;
            state.base_log = {log.id, log.checkpoint};
            resync::watch_until(state, moment, settings_.boot_id);
          });
        }
        if (!done) {
          fail(*stream, done.error());
        } else if (valid) {
          (void)send_message(*stream, wire::Durable{sequence}, settings_.send_timeout);  // a lost stream shows elsewhere
        }
      });
  return {};
}

void Secondary::digest_later(const StreamRef& stream, wire::ZoneDigests&& digests) {
  const SequenceNumber sequence{received_};
  auto fd = applier_.descriptor(digests.id);
  digests_->run(
      [this, stream, sequence, fd = fd ? *fd : SharedFd{}, digests = std::move(digests)] {
        wire::ZonesWanted answer{.sequence = sequence};
        const auto own = fd ? syncs_first_.digest_zones(fd->get(), settings_.zone_bytes, digests.first, digests.digests.size())
                            : Result<std::vector<Digest128>>{Error{Code::NotFound, "gone"}};
        for (std::uint32_t i = 0; i < digests.digests.size(); ++i) {
          // A zone that cannot be read here may still be writable.
          if (!own || (*own)[i] != digests.digests[i]) answer.wanted.push_back(i);
        }
        (void)send_message(*stream, answer, settings_.send_timeout);  // a lost stream shows at the receiver
      });
}

Status Secondary::detach(Stream& stream) {
  SK_TRY_VOID(applier_.sync_all());
  SK_TRY_VOID(journal_.update([&](journal::State& state) {
    if (state.exact) state.exact_in_boot.clear();
  }));
  return send_message(stream, wire::Durable{{received_}}, settings_.send_timeout);
}

}  // namespace safekit::replica
