// External synchronisation: a backup of this copy becomes the other one.
#include <fcntl.h>
#include <unistd.h>

#include "datapath/replica/primary.h"

namespace safekit::replica {

Status Primary::begin_backup(const resync::Backup& backup) {
  {
    const std::lock_guard lock{mutex_};
    const bool alone = mode_ == Mode::Alone && !link_ && !stopped_ && !leaving_;
    if (!alone) return Error{Code::Conflict, fmt::format("node '{}' is there as secondary; stop the module there first", settings_.peer)};
    if (outside_ != nullptr && outside_->known() == nullptr) {
      return Error{Code::Conflict, "what was changed while this node was stopped is still being looked for; try again"};
    }
    const DataGeneration fresh{random_.u64() | 1};
    Status begun{};
    SK_TRY_VOID(journal_.update([&](journal::State& state) {
      begun = resync::begin_backup(state, backup, fresh);
      if (begun) resync::settle(state, linux_os::file_moment(), settings_.boot_id);  // others' changes are in the backup too
    }));
    SK_TRY_VOID(begun);
    marks_ = journal::ZoneMap{settings_.zone_bytes};
    marks_complete_ = true;
    outside_unknown_ = outside_marked_ = false;
    if (outside_ != nullptr) outside_->settle();
    alone_noted_ = true;  // by this generation
    log_.write(LogLevel::Info, "primary", fmt::format("backup={} step=begin", backup.uid));
  }
  if (sync_roots()) return {};
  SK_TRY_VOID(journal_.update([](journal::State& state) { state.backup.clear(); }));
  return Error{Code::Io, "what was written before the backup cannot be put on the disk"};
}

bool Primary::sync_roots() {
  bool synced = inodes_ != nullptr;
  for (std::uint32_t root = 0; synced && root < inodes_->root_count(); ++root) {
    const auto opened = inodes_->open(inodes_->root_id(root), O_RDONLY | O_DIRECTORY);
    const Fd fd{opened ? *opened : -1};
    synced = opened && ::syncfs(*opened) == 0;
  }
  return synced;
}

}  // namespace safekit::replica
