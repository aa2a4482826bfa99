#pragma once

#include <memory>

#include "schema/port/loop.h"

namespace safekit::linux_os {

/// The Loop on Boost.Asio. A service; `run` makes the calling thread the loop's thread. Watching a descriptor
/// sets O_NONBLOCK on it, and one descriptor has at most one watcher. A task may cancel, unwatch or stop
/// anything, also itself. Arrivals of one signal that come close together may be reported once.
class AsioLoop final : public Loop {
 public:
  AsioLoop();
  ~AsioLoop() override;
  AsioLoop(const AsioLoop&) = delete;
  AsioLoop& operator=(const AsioLoop&) = delete;

  void post(Task task) override;
  TimerId after(Duration delay, Task task) override;
  void cancel(TimerId id) override;
  WatcherId watch_readable(int fd, Task task) override;
  void unwatch(WatcherId id) override;
  void on_signal(int signal, Task task) override;
  void run() override;
  void stop() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace safekit::linux_os
