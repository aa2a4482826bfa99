#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/result.h"

namespace safekit {

struct FileInfo {
  std::string name{};  ///< without the directory
  std::uint64_t size_bytes{0};
  friend bool operator==(const FileInfo&, const FileInfo&) = default;
};

/// Small files as a whole: scripts, status files, settings. What the data path needs of a disk is another
/// port. Errors: NotFound, Exhausted for a file over kFileBytesMax, Io with the system's text. Thread: the
/// loop's.
class Files {
 public:
  static constexpr std::uint64_t kFileBytesMax = 16U << 20;
  virtual ~Files() = default;
  virtual Result<std::string> read(const std::string& path) = 0;
  /// Makes missing directories above, writes a new file, syncs it and moves it over the old one: a reader
  /// sees the old or the new text, also after power loss.
  virtual Status replace(const std::string& path, std::string_view text, std::uint32_t mode) = 0;
  /// The same without the sync, for what can be made again: after power loss the file may be empty or old.
  virtual Status put(const std::string& path, std::string_view text, std::uint32_t mode) = 0;
  /// Regular files of a directory, by name. A missing directory is an empty one.
  virtual Result<std::vector<FileInfo>> list(const std::string& directory) = 0;
  virtual Status make_directories(const std::string& path) = 0;
  virtual Status truncate(const std::string& path) = 0;
  /// Fine when it is not there.
  virtual Status remove(const std::string& path) = 0;
  /// A directory with all that is in it; links in it are removed, not followed. Fine when it is not there.
  virtual Status remove_tree(const std::string& path) = 0;
};

}  // namespace safekit
