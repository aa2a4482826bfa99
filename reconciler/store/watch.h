#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <vector>

namespace safekit::store {

/// Tells any number of watchers of changes, in the order they happened, also when a watcher makes further changes:
/// those are told after the present one. Thread: the loop's. A service.
template <class Change>
class Watchers {
 public:
  std::uint64_t add(std::function<void(const Change&)> task) {
    tasks_.emplace(++last_id_, std::move(task));
    return last_id_;
  }
  void remove(std::uint64_t id) { tasks_.erase(id); }
  void tell(Change change) {
    waiting_.push_back(std::move(change));
    if (telling_) return;
    telling_ = true;
    while (!waiting_.empty()) {
      const Change next = std::move(waiting_.front());
      waiting_.pop_front();
      tell_all(next);
    }
    telling_ = false;
  }

 private:
  void tell_all(const Change& change) {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, task] : tasks_) ids.push_back(id);
    for (const std::uint64_t id : ids) {
      const auto found = tasks_.find(id);
      if (found == tasks_.end()) continue;
      const auto task = found->second;  // a copy: it may remove itself
      task(change);
    }
  }
  std::map<std::uint64_t, std::function<void(const Change&)>> tasks_{};
  std::deque<Change> waiting_{};
  std::uint64_t last_id_{0};
  bool telling_{false};
};

}  // namespace safekit::store
