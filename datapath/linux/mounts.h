#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "datapath/linux/fd.h"
#include "schema/base/result.h"

namespace safekit::mounts {

/// How our FUSE mounts are named in /proc/self/mountinfo.
inline constexpr std::string_view kSource = "safekit";
inline constexpr std::string_view kType = "fuse.safekit";

/// What the topmost mount exactly at a path is. OurReadOnlyBind: a read-only mount of the directory over
/// itself.
enum class Kind { None, OurFuse, OurReadOnlyBind, Other };

/// The topmost mount exactly at `path` (absolute), from /proc/self/mountinfo. Never touches the mounted file
/// system, so it cannot hang on a dead one. Errors: Io.
[[nodiscard]] Result<Kind> mount_kind(const std::string& path);

/// Refuses ordinary writers: the directory mounted read-only over itself. Does nothing where that is so
/// already. Errors: Conflict over our FUSE mount, Io.
Status bind_read_only(const std::string& path);
/// Takes every read-only bind of ours off again. Errors: Conflict (busy, names the holders), Io.
Status unbind(const std::string& path);

/// Takes off our FUSE mounts at `path` whose server has died (calls give ENOTCONN), so that the directory is
/// plain again. A living one is left alone. Errors: Io.
Status clean_stale(const std::string& path);

/// Unmounts what is topmost at `path`; never lazy. Errors: Conflict naming the holding processes, Io.
Status unmount(const std::string& path);

/// A directory seen without what is mounted below it: no path that starts here, whatever is mounted later, leads into another file
/// system. `mount` is to be kept as long as `directory` is used.
struct Alone {
  Fd mount{};
  Fd directory{};  ///< O_RDONLY
};
/// Errors: Invalid when it is no directory, Io.
[[nodiscard]] Result<Alone> open_alone(const std::string& path);
/// Mount points below a directory (not the directory itself), sorted. Errors: Io.
[[nodiscard]] Result<std::vector<std::string>> mounted_below(const std::string& path);

/// A process that keeps a mount busy.
struct Holder {
  pid_t pid{0};
  std::string command{};
  friend bool operator==(const Holder&, const Holder&) = default;
};
/// Processes with a working directory, root, open file or mapping on the file system mounted at `path`.
[[nodiscard]] std::vector<Holder> holders(const std::string& path);

}  // namespace safekit::mounts
