#pragma once

#include <string>

#include "datapath/linux/fd.h"
#include "datapath/replica/sink.h"
#include "schema/base/result.h"

namespace safekit::replica {

/// A FileHandle as one string of bytes: key of maps and of the zone map on disk.
using HandleKey = std::string;
[[nodiscard]] HandleKey to_key(const FileHandle& handle);
/// Errors: Corrupt.
Result<FileHandle> from_key(const HandleKey& key);
/// What tells one inode from another on the wire.
[[nodiscard]] std::uint64_t identity_of(const HandleKey& key);

/// A root of the tree and the mount that all of it lies in.
struct Place {
  std::uint32_t root{0};
  int mount_id{-1};
};
/// The handle of `name` in a directory, or of the descriptor itself when `name` is empty (name_to_handle_at).
/// Errors: NotFound, Conflict for what lies in another mount, Unsupported for a file system without handles, Io.
Result<HandleKey> key_at(const Place& place, int directory, const std::string& name);
/// Errors: Io.
Result<int> mount_id_of(int fd);
/// Errors: NotFound when the inode is gone, Io.
Result<Fd> open_key(int mount, const HandleKey& key, int flags);

/// An errno as an error: NotFound (the inode or name is not there), Conflict (something else is there), Exhausted (disk
/// full, quota, descriptors), else Io.
[[nodiscard]] Error system_error(const std::string& what, int number);

}  // namespace safekit::replica
