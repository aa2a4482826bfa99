#pragma once

#include <filesystem>
#include <string>

namespace safekit::sandbox {

/// PID 1 of a node, started by `spawn`: enters the node's files, says that it is ready, then adopts and reaps
/// what is left over and keeps the daemon running as systemd would (Restart=always, KillMode=process: what
/// the daemon has started is left alone when the daemon dies). Its own end, by SIGTERM or SIGKILL, ends every
/// process of the node.
int run_init(const std::filesystem::path& directory, const std::string& node);

/// Does nothing but keep its network namespace, the switch, alive.
int run_switch();

}  // namespace safekit::sandbox
