#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "schema/base/result.h"

namespace safekit::sandbox {

/// What of the file system belongs to one node alone. A value.
struct NodeFiles {
  std::filesystem::path directory{};         ///< holds state, run, etc, log and root/<private path>
  std::filesystem::path hosts{};             ///< shown as /etc/hosts
  std::vector<std::string> private_paths{};  ///< absolute and normal
};

/// Makes the directories that `enter_node_files` needs. A private directory that exists on the machine is
/// made with the same owner and mode, and empty.
[[nodiscard]] Status make_node_files(const NodeFiles& files);

/// Its control groups on this machine, when nothing runs on it any more.
void remove_control_groups(const NodeFiles& files);

/// To be called in a new mount namespace. Everything of the machine is seen as it is, but: /var/lib/safekit,
/// /run/safekit, /etc/safekit and the private paths are the node's own, /run and /dev/shm are empty, /proc
/// and /sys are those of the node's namespaces, with a boot identity and control groups of their own. A directory that the
/// machine lacks is made in memory, never on the machine.
[[nodiscard]] Status enter_node_files(const NodeFiles& files);

}  // namespace safekit::sandbox
