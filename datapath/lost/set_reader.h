#pragma once

#include <string>
#include <vector>

#include "datapath/lost/manifest.h"

/// Sets as they lie on the disk, for who looks at them. Thread: any.
namespace safekit::lost {

inline constexpr const char* kManifestFile = "manifest";
inline constexpr const char* kDataFile = "data";
inline constexpr const char* kMadeFile = "made";  ///< what the synchronisation itself made: 8-byte digests of handles
inline constexpr const char* kSummaryFile = "summary";

/// A name that a set may have: no path.
[[nodiscard]] bool is_set_name(const std::string& name);
/// By name; those whose summary cannot be read are left out. A missing directory is an empty one. Errors: Io.
Result<std::vector<Summary>> list_sets(const std::string& directory);
/// Errors: NotFound, Corrupt, Unsupported, Io.
Result<Contents> load_set(const std::string& directory, const std::string& name);
/// Bytes of the set's data file. Errors: NotFound, Corrupt when they are not there, Io.
Result<Bytes> read_data(const std::string& directory, const std::string& name, std::uint64_t at, std::size_t size);
/// Errors: NotFound, Io.
Status purge_set(const std::string& directory, const std::string& name);

/// Errors: NotFound, Io.
Result<Bytes> read_file(const std::string& path);

}  // namespace safekit::lost
