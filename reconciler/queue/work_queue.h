#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "reconciler/queue/backoff.h"
#include "schema/base/time.h"

namespace safekit::queue {

/// Keys that wait for their turn. Pure: the caller brings the time. A value.
/// Each key waits at most once, with the earliest time asked for. A taken key is not given again before it is finished;
/// what is asked for meanwhile becomes its next turn. Among keys that are due the one due longest comes first.
template <class Key>
class WorkQueue {
 public:
  void add(const Key& key, MonoTime due) {
    Entry& entry = entries_[key];
    entry.due = entry.due ? std::min(*entry.due, due) : due;
  }
  /// A key whose time has come; it is running until `done` or `failed`.
  [[nodiscard]] std::optional<Key> take(MonoTime now) {
    const auto best = earliest(entries_);
    if (best == entries_.end() || *best->second.due > now) return std::nullopt;
    best->second.due.reset();
    best->second.is_running = true;
    return best->first;
  }
  /// The turn went well: its failures are forgotten. `again`: look once more then.
  void done(const Key& key, std::optional<MonoTime> again) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    found->second.is_running = false;
    found->second.failures = 0;
    if (again) add(key, *again);
    if (!found->second.due) entries_.erase(found);
  }
  /// The turn failed: the key comes back after a backoff, or earlier when something asks for it. Returns the delay.
  Duration failed(const Key& key, MonoTime now, const BackoffLimits& limits, std::uint32_t jitter) {
    Entry& entry = entries_[key];
    entry.is_running = false;
    ++entry.failures;
    const Duration delay = backoff(entry.failures, limits, jitter);
    add(key, now + delay);
    return delay;
  }
  /// When `take` will have something; nothing: not before the next `add`.
  [[nodiscard]] std::optional<MonoTime> next_due() const {
    const auto best = earliest(entries_);
    if (best == entries_.end()) return std::nullopt;
    return best->second.due;
  }
  [[nodiscard]] std::uint32_t failures(const Key& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? 0 : found->second.failures;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::optional<MonoTime> due{};
    bool is_running{false};
    std::uint32_t failures{0};
  };
  template <class Entries>
  [[nodiscard]] static auto earliest(Entries& entries) {
    auto best = entries.end();
    for (auto it = entries.begin(); it != entries.end(); ++it) {
      if (it->second.is_running || !it->second.due) continue;
      if (best == entries.end() || *it->second.due < *best->second.due) best = it;
    }
    return best;
  }
  std::map<Key, Entry> entries_{};
};

}  // namespace safekit::queue
