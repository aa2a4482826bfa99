#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "schema/base/bytes.h"
#include "schema/base/ids.h"

namespace safekit::wire {

/// A place in one of the module's replicated directories. `path` is relative, without leading or double slashes; empty
/// is the root itself. Any bytes but '\0' may stand in it.
struct TreePath {
  std::uint32_t root{0};
  std::string path{};
  friend bool operator==(const TreePath&, const TreePath&) = default;
};

struct TimeSpec {
  std::int64_t seconds{0};
  std::uint32_t nanoseconds{0};
  friend bool operator==(const TimeSpec&, const TimeSpec&) = default;
};

/// Attributes as they are after the operation. `mode` includes the file type (S_IFMT). Sizes in bytes.
struct Attributes {
  std::uint32_t mode{0};
  std::uint32_t uid{0};
  std::uint32_t gid{0};
  std::uint64_t device{0};  ///< of a special file
  std::uint64_t size{0};
  TimeSpec mtime{};
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

/// The operations of the stream: what the primary has done, in order. An inode is named by the id the primary gave it;
/// Bind makes an id known on the secondary by the path it has at that point of the stream; Create and Link by name.
struct Bind {
  InodeId id{};
  TreePath at{};
  std::uint64_t identity{0};  ///< digest of the primary's file handle: ids of one inode have one identity (set by the sink)
  friend bool operator==(const Bind&, const Bind&) = default;
};
/// mkdir, mknod, create, symlink: by the type in `attributes.mode`.
struct Create {
  InodeId parent{};
  std::string name{};
  InodeId id{};
  Attributes attributes{};
  std::string link_target{};  ///< of a symbolic link
  std::uint64_t identity{0};  ///< as in Bind; set by the sink, the FUSE side leaves it 0
  friend bool operator==(const Create&, const Create&) = default;
};
struct Link {
  InodeId id{};
  InodeId parent{};
  std::string name{};
  friend bool operator==(const Link&, const Link&) = default;
};
struct Remove {
  InodeId parent{};
  std::string name{};
  bool directory{false};
  friend bool operator==(const Remove&, const Remove&) = default;
};
struct Rename {
  InodeId id{};  ///< what moved
  InodeId parent{};
  std::string name{};
  InodeId new_parent{};
  std::string new_name{};
  std::uint32_t flags{0};  ///< RENAME_NOREPLACE, RENAME_EXCHANGE
  friend bool operator==(const Rename&, const Rename&) = default;
};
/// The bytes travel behind it (Sink::append's `data`).
struct Write {
  InodeId id{};
  std::uint64_t offset{0};
  std::uint32_t size{0};
  friend bool operator==(const Write&, const Write&) = default;
};
struct Fallocate {
  InodeId id{};
  std::uint32_t mode{0};
  std::uint64_t offset{0};
  std::uint64_t length{0};
  friend bool operator==(const Fallocate&, const Fallocate&) = default;
};
/// Only what `mask` names is set. kProvisional: the mtime is told again soon, in its place; to be set if that does not come.
struct SetAttributes {
  enum Mask : std::uint32_t { kMode = 1, kOwner = 2, kSize = 4, kMtime = 8, kProvisional = 16 };
  InodeId id{};
  std::uint32_t mask{0};
  Attributes attributes{};
  friend bool operator==(const SetAttributes&, const SetAttributes&) = default;
};
struct SetXattr {
  InodeId id{};
  std::string name{};
  std::string value{};
  bool remove{false};
  friend bool operator==(const SetXattr&, const SetXattr&) = default;
};
/// fsync of one file or directory; the secondary answers it when it has done the same, where `secondaryAck` is durable.
struct Sync {
  InodeId id{};
  bool data_only{false};
  friend bool operator==(const Sync&, const Sync&) = default;
};
/// The ids will not be used again, unless Create or Bind names them anew.
struct Forget {
  InodeId id{};
  friend bool operator==(const Forget&, const Forget&) = default;
};

using Operation =
    std::variant<Bind, Create, Link, Remove, Rename, Write, Fallocate, SetAttributes, SetXattr, Sync, Forget>;

/// Of an entry of a directory: nothing that leads elsewhere, or that a call would cut off.
[[nodiscard]] inline bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

/// As TreePath has it: such names with one slash between them, or none at all.
[[nodiscard]] inline bool is_plain_path(std::string_view path) {
  for (std::size_t slash = 0; !path.empty(); path.remove_prefix(slash + 1)) {
    slash = path.find('/');
    if (slash == std::string_view::npos) return is_plain_name(path);
    if (!is_plain_name(path.substr(0, slash)) || slash + 1 == path.size()) return false;
  }
  return true;
}

inline constexpr std::size_t kNameBytesMax = 255;
inline constexpr std::size_t kPathBytesMax = 64U << 10;
inline constexpr std::size_t kXattrBytesMax = 64U << 10;

}  // namespace safekit::wire
