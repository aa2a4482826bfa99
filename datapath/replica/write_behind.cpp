#include "datapath/replica/write_behind.h"

#include <fcntl.h>

#include <utility>

namespace safekit::replica {

SequentialRun::Range SequentialRun::wrote(std::uint64_t offset, std::uint64_t size, std::uint64_t long_bytes) {
  if (offset != end_) begin_ = given_ = offset;
  end_ = offset + size;
  if (end_ - begin_ < long_bytes || end_ - given_ < kStepBytes) return {};
  return rest();
}

SequentialRun::Range SequentialRun::rest() {
  if (given_ == end_) return {};
  return {std::exchange(given_, end_), end_};
}

void WriteBehind::wrote(InodeId id, const SharedFd& fd, std::uint64_t offset, std::uint64_t size, bool stays) {
  SequentialRun::Range range;
  {
    const std::lock_guard lock{mutex_};
    Followed& file = files_[id.value % kFiles];
    if (file.id != id) file = {.id = id};
    range = file.run.wrote(offset, size, stays ? SequentialRun::kStepBytes : SequentialRun::kLongBytes);
  }
  bring_to_disk(fd, range);
}

void WriteBehind::finished(InodeId id, const SharedFd& fd) {
  SequentialRun::Range range;
  {
    const std::lock_guard lock{mutex_};
    Followed& file = files_[id.value % kFiles];
    if (file.id == id) range = file.run.rest();
  }
  bring_to_disk(fd, range);
}

void WriteBehind::bring_to_disk(const SharedFd& fd, const SequentialRun::Range& range) {
  if (range == SequentialRun::Range{}) return;
  if (++pending_ > kPendingMax) {
    --pending_;
    return;
  }
  disk_.run([this, fd, range] {
    (void)::sync_file_range(fd->get(), static_cast<off_t>(range.begin), static_cast<off_t>(range.end - range.begin), SYNC_FILE_RANGE_WRITE);
    --pending_;
  });
}

}  // namespace safekit::replica
