#pragma once

#include "datapath/linux/clock.h"
#include "datapath/linux/crypto.h"
#include "datapath/linux/files.h"
#include "datapath/linux/log.h"
#include "datapath/linux/loop.h"
#include "datapath/linux/netlink_interfaces.h"
#include "datapath/linux/process.h"
#include "datapath/linux/random.h"

namespace safekit::linux_os {

/// All real ports, for a file with a `main`; built once, destroyed last. Thread: the one that calls
/// `loop.run`.
struct Ports {
  SystemClock clock{};
  SystemRandom random{};
  StderrLog log{};
  SystemFiles files{};
  OpensslCrypto crypto{};
  AsioLoop loop{};
  SystemProcesses processes{loop};
  NetlinkInterfaces interfaces{loop};
};

}  // namespace safekit::linux_os
