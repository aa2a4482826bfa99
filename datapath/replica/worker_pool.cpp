#include "datapath/replica/worker_pool.h"

#include <utility>

#include "datapath/linux/background.h"

namespace safekit::replica {

WorkerPool::WorkerPool(std::size_t threads, bool background) {
  for (std::size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this, background] {
      linux_os::ThreadPriority{}.set_background(background);
      work();
    });
  }
}

void WorkerPool::run(Task task) {
  {
    const std::lock_guard lock{mutex_};
    if (stopped_) return;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void WorkerPool::forget() {
  const std::lock_guard lock{mutex_};
  tasks_.clear();
}

void WorkerPool::stop() {
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    tasks_.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::work() {
  std::unique_lock lock{mutex_};
  for (;;) {
    wake_.wait(lock, [this] { return stopped_ || !tasks_.empty(); });
    if (stopped_) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = {};  // what it holds is given back without the lock
    lock.lock();
  }
}

}  // namespace safekit::replica
