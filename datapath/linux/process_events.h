#pragma once

#include <optional>

#include "datapath/linux/fd.h"
#include "schema/base/bytes.h"
#include "schema/port/loop.h"
#include "schema/port/process.h"

namespace safekit::linux_os {

/// What the kernel tells of forks, execs, names and ends (netlink, CN_PROC): Processes::watch_events. It tells only who has
/// CAP_NET_ADMIN in the first network, PID and user namespace. A service. Thread: the loop's.
class ProcessEvents {
 public:
  explicit ProcessEvents(Loop& loop) : loop_(loop) {}
  ~ProcessEvents() { unwatch(); }
  ProcessEvents(const ProcessEvents&) = delete;
  ProcessEvents& operator=(const ProcessEvents&) = delete;

  Status watch(Processes::EventTask task);
  void unwatch();

 private:
  void hear();

  Loop& loop_;
  Fd socket_{};
  WatcherId watcher_{0};
  Processes::EventTask task_{};
};

/// One datagram of the kernel; nothing for what is no event of a whole process.
[[nodiscard]] std::optional<ProcessEvent> process_event_of(BytesView datagram);

}  // namespace safekit::linux_os
