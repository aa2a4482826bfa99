#pragma once

#include <memory>
#include <string>

#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

struct DaemonOptions {
  NodeName node{};  ///< empty: the name it joined its cluster with, else the host's
  std::string state_dir{"/var/lib/safekit"};
  std::string run_dir{"/run/safekit"};
  bool may_reboot{false};     ///< `automaticReboot` of a module is followed
  std::string watchdog{};     ///< a device, which resets a node that hangs; empty: none
  Duration watchdog_limit{seconds{30}};
  std::string program_dir{};  ///< where safekit-replicad and safekit-runner are
};

/// The control plane of one node: real ports, store, engine, controllers, links to the peers and API, put together. Its end,
/// however it comes, touches no module. A service.
class Daemon {
 public:
  /// Errors: Conflict when another safekitd has the state directory, Unsupported for one of a newer version, Io.
  static Result<std::unique_ptr<Daemon>> make(const DaemonOptions& options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Until SIGTERM or SIGINT.
  Status run();

 private:
  struct Impl;
  explicit Daemon(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace safekit
