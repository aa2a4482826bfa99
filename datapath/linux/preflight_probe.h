#pragma once

#include <string>
#include <vector>

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::linux_os {

/// How long a small write takes to be durable.
struct SyncLatency {
  std::string path{};  ///< of the directory whose file system was measured
  Duration median{};
  Duration worst{};
};
/// In a file without a name, in the directory itself, or, where that is a replicated mount or keeps no such files, in the one
/// above: nothing is ever seen or replicated. Blocks for a moment. Errors: Unsupported, Io.
[[nodiscard]] Result<SyncLatency> measure_sync(const std::string& directory);

struct KernelFeatures {
  std::string release{};
  bool is_new_enough{false};  ///< docs/kernels.md
  bool has_fuse{false};
  bool has_control_groups{false};
};
[[nodiscard]] KernelFeatures kernel_features();
/// `6.1.0-18-amd64` is at least 5.15.
[[nodiscard]] bool is_at_least(const std::string& release, int major, int minor);

}  // namespace safekit::linux_os
