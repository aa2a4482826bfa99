#pragma once

#include <string>
#include <utility>
#include <vector>

#include "datapath/linux/fd.h"
#include "datapath/wire/operation.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"

/// File-system calls of the replica on descriptors: whole writes, attributes and xattrs of any type of inode, removal of
/// whole trees. None follows a symbolic link. Errors: NotFound, Io.
namespace safekit::replica::tree {

Status write_at(int fd, BytesView data, std::uint64_t offset);
/// Bytes read; fewer than asked only at the end of the file.
Result<std::size_t> read_at(int fd, std::span<std::uint8_t> into, std::uint64_t offset);

/// Any descriptor, O_PATH too. `mode`, `uid`, `gid`, `mtime` as `mask` (wire::SetAttributes::Mask) says.
Status set_attributes(int fd, std::uint32_t mask, const wire::Attributes& attributes);
Result<wire::Attributes> attributes_of(int fd);
using Xattrs = std::vector<std::pair<std::string, std::string>>;
/// Sorted by name.
Result<Xattrs> xattrs_of(int fd);
Status set_xattr(int fd, const std::string& name, const std::string& value);
/// Fine when it is not there.
Status remove_xattr(int fd, const std::string& name);

/// A new entry, anything but a regular file, that must not exist. A directory is made with access for root only.
Status make_node(int directory, const std::string& name, const wire::Attributes& attributes, const std::string& link_target);
/// Whatever it is, with all below. Fine when it is not there.
Status remove_all(int directory, const std::string& name);
/// Without `.` and `..`.
Result<std::vector<std::string>> entries_of(int directory);
/// Target of a symbolic link in a directory, or of the descriptor itself when `name` is empty.
Result<std::string> link_target(int directory, const std::string& name);

/// The path of a directory below another, empty for that one itself. Errors: NotFound when it does not lie below it.
Result<std::string> path_below(int root, int directory);
/// A path that leads to what the descriptor stands for, for calls that take no O_PATH descriptor.
[[nodiscard]] std::string proc_path(int fd);

}  // namespace safekit::replica::tree
