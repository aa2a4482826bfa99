#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "schema/base/time.h"

namespace safekit::replica {

/// Every Sync that was promised to a caller and that the peer has not answered with Durable. An acknowledgement says only
/// that the peer has a frame: without this, a peer whose disk alone hangs would be waited for without a bound. A value.
class SyncTimes {
 public:
  /// Not kept beyond it: the oldest counts, and that many calls do not wait at once.
  static constexpr std::size_t kCountMax = 1U << 16;

  void sent(std::uint64_t sequence, MonoTime now) {
    if (times_.size() < kCountMax) times_.emplace_hint(times_.end(), sequence, now);
  }
  void durable(std::uint64_t sequence) { times_.erase(sequence); }
  /// Nobody waits for those up to there any more.
  void released(std::uint64_t upto) { times_.erase(times_.begin(), times_.upper_bound(upto)); }
  [[nodiscard]] bool empty() const { return times_.empty(); }
  /// When the oldest of those after `base` was sent: the earlier ones went to a connection that is gone.
  [[nodiscard]] std::optional<MonoTime> oldest_after(std::uint64_t base) const {
    const auto first = times_.upper_bound(base);
    return first == times_.end() ? std::nullopt : std::optional{first->second};
  }

 private:
  std::map<std::uint64_t, MonoTime> times_{};
};

}  // namespace safekit::replica
