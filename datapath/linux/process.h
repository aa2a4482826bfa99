#pragma once

#include <map>

#include "datapath/linux/fd.h"
#include "datapath/linux/process_events.h"
#include "schema/port/loop.h"
#include "schema/port/process.h"

namespace safekit::linux_os {

/// The identity of a living process from /proc/PID/stat. Errors: NotFound when there is none, or only its
/// zombie.
[[nodiscard]] Result<ProcessIdentity> identify(std::int32_t pid);

/// Real processes: started by Boost.Process, watched and signalled by pidfd. Every child starts with nothing
/// of ours but its three standard descriptors: own environment, no signal blocked or ignored. A service;
/// children outlive it. Thread: the loop's.
class SystemProcesses final : public Processes {
 public:
  explicit SystemProcesses(Loop& loop) : loop_(loop), events_(loop) {}
  ~SystemProcesses() override;
  SystemProcesses(const SystemProcesses&) = delete;
  SystemProcesses& operator=(const SystemProcesses&) = delete;

  Result<ProcessIdentity> start(const ProcessSpec& spec, ExitTask on_exit) override;
  Status signal_group(ProcessIdentity process, int signal) override;
  Status signal(ProcessIdentity process, int signal) override;
  Result<std::vector<ProcessInfo>> list() override;
  [[nodiscard]] bool is_running(ProcessIdentity process) const override;
  Result<std::uint64_t> watch_exit(ProcessIdentity process, std::function<void()> task) override;
  void unwatch_exit(std::uint64_t id) override;
  Result<ProcessInfo> look(std::int32_t pid) override;
  Status watch_events(EventTask task) override { return events_.watch(std::move(task)); }
  void unwatch_events() override { events_.unwatch(); }

 private:
  struct Watch {
    Fd pidfd{};
    WatcherId watcher{0};
  };
  std::uint64_t watch_pidfd(Fd pidfd, std::function<void()> task);

  Loop& loop_;
  std::uint64_t last_id_{0};
  std::map<std::uint64_t, Watch> watches_{};
  ProcessEvents events_;
};

}  // namespace safekit::linux_os
