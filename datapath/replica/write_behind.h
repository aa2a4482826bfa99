#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

#include "datapath/replica/inode_binding.h"
#include "datapath/replica/worker_pool.h"
#include "schema/base/ids.h"

namespace safekit::replica {

/// A file that is written from front to back. A value; pure.
class SequentialRun {
 public:
  static constexpr std::uint64_t kLongBytes = 16U << 20;  ///< what is shorter may be meant to live shortly
  static constexpr std::uint64_t kStepBytes = 4U << 20;

  /// Bytes [begin, end).
  struct Range {
    std::uint64_t begin{0};
    std::uint64_t end{0};
    friend bool operator==(const Range&, const Range&) = default;
  };
  /// After a write: what is to be brought to disk now, perhaps nothing. All before it was given out by earlier calls.
  [[nodiscard]] Range wrote(std::uint64_t offset, std::uint64_t size, std::uint64_t long_bytes = kLongBytes);
  /// What was not given out yet.
  [[nodiscard]] Range rest();

 private:
  std::uint64_t begin_{0};
  std::uint64_t given_{0};
  std::uint64_t end_{0};
};

/// Brings long files to disk while they are still being written, on both nodes, so that the sync at their end finds little left to
/// do: disks write while processors copy. Writers never wait for it, and only speed depends on it: what there is no time for is
/// left to the kernel. Thread: any. A service. Source: sync_file_range(2).
class WriteBehind {
 public:
  /// `fd`: a descriptor of the file that can be written. `stays`: it is known not to be short-lived.
  void wrote(InodeId id, const SharedFd& fd, std::uint64_t offset, std::uint64_t size, bool stays = false);
  /// No more is written of one that stays.
  void finished(InodeId id, const SharedFd& fd);

 private:
  static constexpr std::size_t kFiles = 16;  ///< followed at once
  static constexpr int kPendingMax = 32;

  void bring_to_disk(const SharedFd& fd, const SequentialRun::Range& range);

  struct Followed {
    InodeId id{};
    SequentialRun run{};
  };
  std::mutex mutex_{};
  std::array<Followed, kFiles> files_{};
  std::atomic<int> pending_{0};
  WorkerPool disk_{1, false};
};

}  // namespace safekit::replica
