#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace safekit::replica {

/// A few threads that run tasks in order. `stop` forgets what has not begun and waits for what has. A service.
class WorkerPool {
 public:
  using Task = std::function<void()>;
  /// `background`: somebody else's work goes first (linux/background.h).
  WorkerPool(std::size_t threads, bool background);
  ~WorkerPool() { stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  void run(Task task);
  /// Forgets what has not begun; new tasks may follow.
  void forget();
  void stop();

 private:
  void work();

  std::mutex mutex_{};
  std::condition_variable wake_{};
  std::deque<Task> tasks_{};
  bool stopped_{false};
  std::vector<std::thread> threads_{};
};

}  // namespace safekit::replica
