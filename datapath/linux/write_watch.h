#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "datapath/linux/fd.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::linux_os {

/// What a process has done to an entry of a directory. A value. Changes of one inode by one process may come as one event.
struct WriteEvent {
  bool overflow{false};    ///< events were lost; nothing else counts
  bool inode{false};       ///< content, size or attributes of what stands at the entry
  bool names{false};       ///< the entry came or went
  bool directory{false};   ///< the entry is one
  pid_t pid{0};            ///< 0: of no process that this one can see
  std::uint64_t file_system{0};  ///< as file_system_of tells it
  int handle_type{0};      ///< of the directory, for open_by_handle_at
  Bytes handle{};
  std::string name{};      ///< `.`: the directory itself
  friend bool operator==(const WriteEvent&, const WriteEvent&) = default;
};

/// Events as the kernel gives them. What cannot be read counts as an overflow. Pure. Source: fanotify(7).
[[nodiscard]] std::vector<WriteEvent> parse_write_events(BytesView bytes);
/// Errors: Io.
Result<std::uint64_t> file_system_of(int fd);

/// Tells, after the fact, of all changes in the file systems of some directories, but for writes through the mounts that the
/// directories are opened in (fanotify). Stores to a shared mapping are not told of. Needs Linux 5.9 and CAP_SYS_ADMIN.
/// Bounds: the kernel keeps 16,384 events, then tells of an overflow. Thread: one at a time. A service.
class WriteWatch {
 public:
  /// `directories`: each opened for reading in a mount that nobody else uses. Errors: Unsupported, with the reason of the kernel.
  static Result<std::unique_ptr<WriteWatch>> open(const std::vector<int>& directories);

  /// All that is there, kReadsMax times what one call gives at most; never waits. Errors: Io.
  Result<std::vector<WriteEvent>> read();
  /// Becomes readable.
  [[nodiscard]] int descriptor() const { return fd_.get(); }

 private:
  static constexpr int kReadsMax = 64;
  explicit WriteWatch(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_{};
};

}  // namespace safekit::linux_os
