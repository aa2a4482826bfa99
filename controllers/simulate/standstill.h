#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "controllers/simulate/world.h"

namespace safekit::sim {

/// Of a process that may be stopped (SIGSTOP): what reaches it meanwhile waits, and comes in the order in which it did. Of a process that
/// is gone nothing comes any more. A service.
class Standstill {
 public:
  explicit Standstill(World& world) : world_(world) {}
  ~Standstill() { *alive_ = false; }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;

  void pause(Duration how_long) { until_ = std::max(until_, world_.now() + how_long.count()); }
  [[nodiscard]] bool is_paused() const { return world_.now() < until_; }
  /// Now, where nothing waits.
  void deliver(World::Task task) {
    if (!is_paused() && waiting_.empty()) return task();
    waiting_.push_back(std::move(task));
    if (!std::exchange(resumes_, true)) resume_later();
  }
  void after(Duration delay, World::Task task) {
    world_.after(delay, [this, alive = alive_, task = std::move(task)]() mutable {
      if (*alive) deliver(std::move(task));
    });
  }

 private:
  void resume_later() {
    world_.after(Duration{until_ - world_.now()}, [this, alive = alive_] {
      if (!*alive) return;
      if (is_paused()) return resume_later();
      while (!waiting_.empty()) {
        const World::Task task = std::move(waiting_.front());
        waiting_.pop_front();
        task();
        if (!*alive) return;
        if (is_paused()) return resume_later();
      }
      resumes_ = false;
    });
  }
  World& world_;
  std::int64_t until_{0};
  std::deque<World::Task> waiting_{};
  bool resumes_{false};
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
};

}  // namespace safekit::sim
