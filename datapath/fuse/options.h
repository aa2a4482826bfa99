#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "datapath/linux/idle_polling.h"
#include "datapath/replica/sink.h"
#include "schema/base/result.h"

namespace safekit::fuse {

/// Which calls wait for the peer (design.md 7). `control::Durability` in this room's words.
enum class Durability : std::uint8_t { Barrier, Fsync, Write };

/// A value.
struct Options {
  Durability durability{Durability::Barrier};
  /// What an fsync waits for (`secondaryAck`). A close and, with Durability::Write, every change wait for
  /// Received.
  replica::Acknowledged fsync_level{replica::Acknowledged::Durable};
  /// Writes stay in the kernel's page cache until it writes them back, at the latest before close, fsync and O_SYNC writes
  /// return: many are then one. What is only in the cache is lost with this node, as it is on a local file system.
  bool write_back{false};
  std::uint32_t threads_max{
      64};  ///< per directory; only as many as wait for a disk or the peer at once are started
  std::size_t descriptors_max{
      4096};  ///< cached descriptors of inodes that nobody has open, over all directories
  /// Where another process keeps the mounts for the next one (docs/takeover.md): its program, and the directory of its
  /// socket. Empty: they end with this process.
  std::string keeper_program{};
  std::string keeper_directory{};
  /// Is told of each call. Not owned; none: nobody is.
  linux_os::IdlePolling* polling{nullptr};
  /// A mount ended without `unmount` (an administrator's umount). Called once per directory from a FUSE
  /// thread.
  std::function<void(std::uint32_t root)> on_end{};
};

}  // namespace safekit::fuse
