#pragma once

#include <cstdint>
#include <functional>

#include "schema/base/time.h"

namespace safekit {

using TimerId = std::uint64_t;    ///< 0 is never a timer
using WatcherId = std::uint64_t;  ///< 0 is never a watcher

/// The one event loop of a process; it owns all state that is not a hot path.
/// Thread: `post` and `stop` from any thread, everything else only from the loop's own.
class Loop {
 public:
  using Task = std::function<void()>;
  virtual ~Loop() = default;
  /// Runs the task once, soon, on the loop's thread, in the order posted.
  virtual void post(Task task) = 0;
  /// Runs the task once, not before `delay` has passed.
  virtual TimerId after(Duration delay, Task task) = 0;
  /// Forgets a timer that has not run yet; an unknown or finished id is fine.
  virtual void cancel(TimerId id) = 0;
  /// Runs the task whenever the descriptor is readable (level-triggered). The caller owns the descriptor and must call
  /// `unwatch` before closing it.
  virtual WatcherId watch_readable(int fd, Task task) = 0;
  virtual void unwatch(WatcherId id) = 0;
  /// Runs the task at each arrival of the signal.
  virtual void on_signal(int signal, Task task) = 0;
  /// Runs until `stop`.
  virtual void run() = 0;
  virtual void stop() = 0;
};

}  // namespace safekit
