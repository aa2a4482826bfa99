#include "datapath/replica/write_behind.h"

#include <fcntl.h>

namespace safekit::replica {

SequentialRun::Range SequentialRun::wrote(std::uint64_t offset, std::uint64_t size) {
  if (offset != end_) begin_ = given_ = offset;
  end_ = offset + size;
  if (end_ - begin_ < kLongBytes || end_ - given_ < kStepBytes) return {};
  const Range range{given_, end_};
  given_ = end_;
  return range;
}

void WriteBehind::wrote(InodeId id, const SharedFd& fd, std::uint64_t offset, std::uint64_t size) {
  SequentialRun::Range range;
  {
    const std::lock_guard lock{mutex_};
    Followed& file = files_[id.value % kFiles];
    if (file.id != id) file = {.id = id};
    range = file.run.wrote(offset, size);
  }
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
