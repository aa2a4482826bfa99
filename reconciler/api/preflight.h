#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/time.h"
#include "schema/doc/node.h"

/// What `safekit preflight` has measured, and what follows from it. Pure.
namespace safekit::api {

struct PreflightLan {
  std::string name{};
  std::string address{};              ///< of the other node
  std::optional<Duration> round_trip{};  ///< the longest of some; nothing: no answer
  bool port_open{false};              ///< TCP 9453
};

/// One other node, as it is seen from here.
struct PreflightPeer {
  std::string node{};
  std::string problem{};  ///< it cannot be asked, and nothing below is known
  Duration answer_median{};  ///< of a request to its safekitd
  Duration answer_worst{};
  Duration clock_offset{};   ///< its wall clock is ahead by this
  Duration clock_error{};    ///< which is known to within this
  std::uint64_t bytes_per_second{0};
  std::vector<PreflightLan> lans{};
};

/// What a node says of itself.
struct PreflightSelf {
  std::string node{};
  doc::Node tree{};  ///< kernel, features, directories: as GET preflight/self gives it
};

struct PreflightFinding {
  enum class Level { Fine, Warning, Error };
  Level level{Level::Fine};
  std::string text{};
  friend bool operator==(const PreflightFinding&, const PreflightFinding&) = default;
};

inline constexpr Duration kClockOffsetMax = seconds{1};
inline constexpr Duration kSyncMax = milliseconds{20};
inline constexpr std::uint64_t kBandwidthMin = 10'000'000;
inline constexpr Duration kTimeoutMin = milliseconds{300};

/// The shortest heartbeat time-out that these networks and nodes bear, a multiple of 100 ms: ten of the longest delays seen, and a
/// margin for a node that is busy.
[[nodiscard]] Duration timeout_for(const std::vector<PreflightPeer>& peers);
/// `configured`: the module's shortest time-out; nothing: no module was named.
[[nodiscard]] std::vector<PreflightFinding> findings_of(const std::vector<PreflightPeer>& peers, const std::vector<PreflightSelf>& nodes,
                                                        const std::optional<Duration>& configured);
[[nodiscard]] doc::Node report_of(const std::vector<PreflightPeer>& peers, const std::vector<PreflightSelf>& nodes,
                                  const std::vector<PreflightFinding>& findings, Duration timeout);

}  // namespace safekit::api
