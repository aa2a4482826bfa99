#pragma once

#include <map>
#include <string>

#include "schema/base/bytes.h"
#include "schema/base/result.h"
#include "schema/doc/problem.h"
#include "schema/spec/module.h"

namespace safekit::codec {

/// The files of a `.safe` archive (a zip): `conf/userconfig.xml`, `bin/<script>`, and whatever else was
/// packed. A value. Shape: relative paths with `/`, none with `..`; directories are left out.
struct SafeArchive {
  std::map<std::string, std::string> files{};
  friend bool operator==(const SafeArchive&, const SafeArchive&) = default;
};

inline constexpr std::size_t kArchiveFilesMax = 2000;
inline constexpr std::size_t kArchiveFileBytesMax = 64 * 1024 * 1024;
inline constexpr std::size_t kArchiveBytesMax = 256 * 1024 * 1024;  ///< of all files, unpacked

/// Errors: Corrupt when it is no zip or a checksum does not hold; Invalid for a path that leaves the archive,
/// a link or an encrypted file; Exhausted beyond the limits above (checked while unpacking: a header may
/// lie).
[[nodiscard]] Result<SafeArchive> read_safe_archive(BytesView bytes);
/// Files in the order of their paths, all with the same date: equal archives are equal bytes. Scripts are
/// executable.
[[nodiscard]] Result<Bytes> write_safe_archive(const SafeArchive& archive);

/// Path of the module's description; empty: the archive has none.
[[nodiscard]] std::string config_path(const SafeArchive& archive);
/// The scripts (`bin/`) that are text go into the module. A module without `<user>` keeps them, but does not
/// run them. A file that is no text gets a warning: it is not taken over into the module.
void add_scripts(const SafeArchive& archive, spec::Module& module, doc::Problems& problems);
/// A module as an archive: `conf/userconfig.xml` with `xml` as its text, and its scripts in `bin/`.
[[nodiscard]] SafeArchive make_safe_archive(const spec::Module& module, std::string xml);

}  // namespace safekit::codec
