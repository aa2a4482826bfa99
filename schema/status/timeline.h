#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "schema/base/time.h"

/// How long the parts of a move of the primary role took, as the node saw them that took it.
namespace safekit::status {

enum class Phase {
  Detect,       ///< from the last sign of life of the old primary until its loss was certain; 0 where it said so itself
  Decide,       ///< until this node took the role
  Fence,        ///< until the old primary could serve no more: it has stopped, or a witness has granted this node the role
  Switch,       ///< until replicated directories and virtual addresses were here
  Application,  ///< until the application's start scripts had ended
};
inline constexpr std::size_t kPhases = 5;
[[nodiscard]] std::string_view to_string(Phase phase);

struct Timeline {
  enum class Kind {
    Failover,  ///< the old primary was lost
    HandOver,  ///< it was stopped
    Swap,
  };
  Kind kind{Kind::Failover};
  WallTime began{};  ///< of the first phase
  std::array<Duration, kPhases> phases{};
  friend bool operator==(const Timeline&, const Timeline&) = default;
};
[[nodiscard]] std::string_view to_string(Timeline::Kind kind);
[[nodiscard]] Duration total_of(const Timeline& timeline);
/// `failover in 1.43 s: detect 1.02 s, decide 1 ms, fence 0 ms, switch 62 ms, application 347 ms`
[[nodiscard]] std::string describe(const Timeline& timeline);

/// When what ends a phase happened. A phase without its moment took no time; one that was seen before the phase before it had
/// ended as well.
struct Moments {
  Timeline::Kind kind{Timeline::Kind::Failover};
  WallTime began{};
  MonoTime last_sign{};
  std::array<std::optional<MonoTime>, kPhases> ends{};
  friend bool operator==(const Moments&, const Moments&) = default;
};
[[nodiscard]] Timeline timeline_of(const Moments& moments);

/// As text and back, to be kept over a restart; nothing for a text that cannot be read.
[[nodiscard]] std::string encode(const Timeline& timeline);
[[nodiscard]] std::optional<Timeline> decode_timeline(const std::string& text);

}  // namespace safekit::status
