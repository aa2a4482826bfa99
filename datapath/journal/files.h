#pragma once

#include <string>

#include "schema/base/bytes.h"
#include "schema/base/result.h"

/// Whole files of the state directory. Errors: NotFound, Io.
namespace safekit::journal::files {

/// From `errno`.
[[nodiscard]] Error io_error(const std::string& what, const std::string& path);
Result<Bytes> read_whole(const std::string& path);
/// A new file of that name, all of it on disk.
Status write_synced(const std::string& path, BytesView bytes);
/// All of it, at an offset.
Status write_at(int fd, const std::string& path, BytesView bytes, std::uint64_t offset);
Status sync_directory(const std::string& path);
/// The same for a file that stands already: whoever looks finds the old or the new one.
Status replace(const std::string& directory, const std::string& name, BytesView bytes);
/// As `replace`, in the room of the file that it takes the place of, which is kept as `name`.new: also a full disk takes it, on
/// file systems that write in place.
Status exchange(const std::string& directory, const std::string& name, BytesView bytes);
/// Room for the next `exchange`; makes nothing where there is some already.
Status reserve(const std::string& directory, const std::string& name, BytesView bytes);

}  // namespace safekit::journal::files
