#pragma once

#include <deque>
#include <map>

#include "schema/fake/manual_clock.h"
#include "schema/port/loop.h"

namespace safekit::fake {

/// A loop that runs when a test says so, on the test's thread and the test's clock.
class ManualLoop final : public Loop {
 public:
  explicit ManualLoop(ManualClock& clock) : clock_(clock) {}
  void post(Task task) override { posted_.push_back(std::move(task)); }
  TimerId after(Duration delay, Task task) override {
    timers_.emplace(++last_id_, Timer{clock_.mono_now() + delay, std::move(task)});
    return last_id_;
  }
  void cancel(TimerId id) override { timers_.erase(id); }
  WatcherId watch_readable(int fd, Task task) override {
    watchers_.emplace(++last_id_, Watcher{fd, std::move(task)});
    return last_id_;
  }
  void unwatch(WatcherId id) override { watchers_.erase(id); }
  void on_signal(int signal, Task task) override { signals_[signal] = std::move(task); }
  void run() override { run_posted(); }
  void stop() override {}

  /// Runs what is posted, and what that posts, until nothing is left.
  void run_posted() {
    while (!posted_.empty()) {
      Task task = std::move(posted_.front());
      posted_.pop_front();
      task();
    }
  }
  /// Moves the clock, running each timer at its own time.
  void advance(Duration by) {
    const MonoTime end = clock_.mono_now() + by;
    run_posted();
    for (;;) {
      auto next = timers_.end();
      for (auto it = timers_.begin(); it != timers_.end(); ++it) {
        if (it->second.due <= end && (next == timers_.end() || it->second.due < next->second.due)) next = it;
      }
      if (next == timers_.end()) break;
      if (next->second.due > clock_.mono_now()) clock_.advance(next->second.due - clock_.mono_now());
      Task task = std::move(next->second.task);
      timers_.erase(next);
      task();
      run_posted();
    }
    if (end > clock_.mono_now()) clock_.advance(end - clock_.mono_now());
  }
  void raise(int signal) { signals_.at(signal)(); }

 private:
  struct Timer {
    MonoTime due{};
    Task task{};
  };
  struct Watcher {
    int fd{-1};
    Task task{};
  };
  ManualClock& clock_;
  std::deque<Task> posted_{};
  std::map<TimerId, Timer> timers_{};
  std::map<WatcherId, Watcher> watchers_{};
  std::map<int, Task> signals_{};
  std::uint64_t last_id_{0};
};

}  // namespace safekit::fake
