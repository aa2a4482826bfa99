#pragma once

#include <unordered_map>
#include <utility>

#include "datapath/wire/operation.h"
#include "schema/base/ids.h"

namespace safekit::replica {

/// Times of change that came with an fsync and will be told again (wire::SetAttributes::kProvisional). To set each of them would
/// make inodes dirty again for the next sync; they are needed only if the primary does not live to tell them.
/// Thread: the receiver's. A value; pure.
class ProvisionalTimes {
 public:
  static constexpr std::size_t kMax = 256;  ///< files that are synced within a moment

  /// False when there is no room: it is to be set now.
  [[nodiscard]] bool note(InodeId id, wire::TimeSpec mtime) {
    const auto found = times_.find(id.value);
    if (found != times_.end()) {
      found->second = mtime;
    } else if (times_.size() < kMax) {
      times_.emplace(id.value, mtime);
    } else {
      return false;
    }
    return true;
  }
  /// Changed since: the time that was told is not its own any more.
  void changed(InodeId id) {
    if (!times_.empty()) times_.erase(id.value);
  }
  /// The primary is gone: what is to be set.
  [[nodiscard]] std::unordered_map<std::uint64_t, wire::TimeSpec> take() { return std::exchange(times_, {}); }

 private:
  std::unordered_map<std::uint64_t, wire::TimeSpec> times_{};
};

}  // namespace safekit::replica
