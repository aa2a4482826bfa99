#pragma once

#include "schema/port/files.h"

namespace safekit::linux_os {

/// errno as an Error: NotFound for ENOENT, Denied for EACCES and EPERM, else Io; `doing` goes before the
/// system's text.
[[nodiscard]] Error error_of(int number, std::string_view doing);

/// The file as a whole. Errors: NotFound, Exhausted when it holds more than `bytes_max`, Io.
[[nodiscard]] Result<std::string> read_file(const std::string& path,
                                            std::uint64_t bytes_max = Files::kFileBytesMax);
/// Old or new, never half, also after power loss: write beside it, fsync, rename, fsync of the directory.
/// Without `Durable::Yes` the syncs are left out.
enum class Durable { No, Yes };
[[nodiscard]] Status replace_file(const std::string& path, std::string_view text, std::uint32_t mode,
                                  Durable durable = Durable::Yes);
/// Makes what is missing of the path, each with `mode` (the umask applies). Errors: Conflict when a part is a
/// file; Io.
[[nodiscard]] Status make_directories(const std::string& path, std::uint32_t mode = 0755);

/// The real disk. A service without state. Thread: any.
class SystemFiles final : public Files {
 public:
  Result<std::string> read(const std::string& path) override { return read_file(path); }
  Status replace(const std::string& path, std::string_view text, std::uint32_t mode) override;
  Status put(const std::string& path, std::string_view text, std::uint32_t mode) override;
  Result<std::vector<FileInfo>> list(const std::string& directory) override;
  Status make_directories(const std::string& path) override { return linux_os::make_directories(path); }
  Status truncate(const std::string& path) override;
  Status remove(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
};

}  // namespace safekit::linux_os
