#pragma once

#include <optional>
#include <string>

#include "controllers/role/plan.h"

/// `syncDelta` (spec/runtime.md 1.6): when both copies were last equal, as far as this node knows. All pure.
namespace safekit::role {

struct SyncedInput {
  Duration sync_delta{};
  bool equal{false};       ///< the copies are equal now
  bool consistent{false};  ///< this copy once had all, and no synchronisation of it was begun and has not ended
  std::optional<WallTime> last{};  ///< when they were equal, kept over power loss
  WallTime now{};
};

struct SyncedStep {
  std::optional<WallTime> last{};  ///< where it is another one: to be kept before anything rests on it
  std::optional<bool> synced{};    ///< rfs.synced; nothing: `syncDelta` is not set
  std::optional<Duration> recheck_after{};
  friend bool operator==(const SyncedStep&, const SyncedStep&) = default;
};

/// Values up to this one mean that only an up-to-date copy starts.
inline constexpr Duration kSyncDeltaNone = minutes{1};
/// The date is kept that often while the copies are equal: it may be so much too old, which only makes the node more careful.
inline constexpr Duration kSyncedStep = seconds{10};

[[nodiscard]] SyncedInput synced_input(const Desired& desired, const Observed& observed, const Memory& memory,
                                       std::optional<WallTime> last);
/// A clock that was set back makes the date one of the future: then nothing is known.
[[nodiscard]] SyncedStep step_synced(const SyncedInput& input);

}  // namespace safekit::role
