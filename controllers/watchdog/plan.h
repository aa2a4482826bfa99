#pragma once

#include <optional>

#include "schema/base/time.h"

/// A watchdog resets the node when this process, or the kernel, stands still while modules are started here: docs/watchdog.md.
namespace safekit::watchdog {

struct Observed {
  bool is_needed{false};  ///< a module is started on this node
  bool left_counting{false};  ///< by a safekitd before this one, which could not stop it or died
  bool counts{false};
  bool can_be_ended{true};
  Duration limit{};       ///< while it counts: the device's
  MonoTime fed{};
  std::optional<MonoTime> failed{};  ///< to begin, last
  friend bool operator==(const Observed&, const Observed&) = default;
};

struct Plan {
  enum class Act { None, Begin, Feed, End };
  Act act{Act::None};
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// So often within its limit it is fed.
inline constexpr int kFeedings = 4;
/// One that could not be had.
inline constexpr Duration kBeginAgain = seconds{10};

[[nodiscard]] Plan decide(const Observed& observed, MonoTime now);

}  // namespace safekit::watchdog
