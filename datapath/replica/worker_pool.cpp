#include "datapath/replica/worker_pool.h"

#include <utility>

namespace safekit::replica {

WorkerPool::WorkerPool(std::size_t threads) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

void WorkerPool::run(Task task, bool urgent) {
  {
    const std::lock_guard lock{mutex_};
    if (stopped_) return;
    (urgent ? urgent_ : bulk_).push_back(std::move(task));
  }
  wake_.notify_one();
}

void WorkerPool::forget() {
  const std::lock_guard lock{mutex_};
  urgent_.clear();
  bulk_.clear();
}

void WorkerPool::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    urgent_.clear();
    bulk_.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::work() {
  std::unique_lock lock{mutex_};
  for (;;) {
    wake_.wait(lock, [this] { return stopped_ || !urgent_.empty() || !bulk_.empty(); });
    if (stopped_) return;
    std::deque<Task>& queue = urgent_.empty() ? bulk_ : urgent_;
    Task task = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    task();
    task = {};  // what it holds is given back without the lock
    lock.lock();
  }
}

}  // namespace safekit::replica
