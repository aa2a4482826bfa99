#include "datapath/linux/preflight_probe.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include <fmt/format.h>

#include "datapath/linux/control_groups.h"
#include "datapath/linux/fd.h"
#include "datapath/linux/files.h"

namespace safekit::linux_os {
namespace {

constexpr int kWrites = 32;
constexpr std::size_t kWriteBytes = 4096;

/// Nothing where its file system takes no file without a name, or passes it on to a peer.
Fd open_unnamed(const std::string& directory) {
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) != 0 || info.f_type == FUSE_SUPER_MAGIC) return Fd{};
  return Fd{::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600)};
}

}  // namespace

Result<SyncLatency> measure_sync(const std::string& directory) {
  SyncLatency result{.path = directory};
  Fd file = open_unnamed(directory);
  if (!file) {
    result.path = directory.substr(0, std::max<std::size_t>(directory.rfind('/'), 1));
    file = open_unnamed(result.path);
  }
  if (!file) return Error{Code::Unsupported, fmt::format("the file system of '{}' cannot be measured without being seen", directory)};
  const std::array<char, kWriteBytes> block{};
  std::vector<Duration> took;
  for (int i = 0; i < kWrites; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    if (::pwrite(file.get(), block.data(), block.size(), 0) != static_cast<ssize_t>(block.size()) || ::fdatasync(file.get()) != 0) {
      return error_of(errno, fmt::format("write in '{}'", result.path));
    }
    took.push_back(std::chrono::steady_clock::now() - begun);
  }
  std::ranges::sort(took);
  result.median = took[took.size() / 2];
  result.worst = took.back();
  return result;
}

bool is_at_least(const std::string& release, int major, int minor) {
  int found_major = 0;
  int found_minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &found_major, &found_minor) != 2) return false;
  return found_major > major || (found_major == major && found_minor >= minor);
}

KernelFeatures kernel_features() {
  utsname names{};
  ::uname(&names);
  return {.release = names.release,
          .is_new_enough = is_at_least(names.release, 5, 15),
          .has_fuse = ::access("/dev/fuse", R_OK | W_OK) == 0,
          .has_control_groups = !control_group_root().empty()};
}

}  // namespace safekit::linux_os
