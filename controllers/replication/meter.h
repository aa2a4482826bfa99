#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datapath/control/message.h"
#include "schema/base/time.h"

/// Rates and progress of a replica, from its reports: the class `rfs` of the resource values (spec/runtime.md 3.4 and 5.12). All pure.
namespace safekit::replication {

/// Sums since the meter began, whatever the replica's own counters did.
struct Amounts {
  std::uint64_t written{0};
  std::uint64_t resynchronised{0};
  std::uint64_t received{0};
  std::uint64_t sent{0};
  friend bool operator==(const Amounts&, const Amounts&) = default;
};

struct MeterSample {
  MonoTime at{};
  Amounts amounts{};
  friend bool operator==(const MeterSample&, const MeterSample&) = default;
};

/// A synchronisation, as this node's replica tells of it.
struct SyncCourse {
  MonoTime began{};
  Duration scan_took{};  ///< until nothing is left to be listed
  Duration took{};       ///< until it ended, or so far
  bool running{false};
  bool failed{false};    ///< it ended, and the copies were not equal
  std::uint64_t told_megabytes{0};  ///< in the last line about it
  MonoTime told{};
  friend bool operator==(const SyncCourse&, const SyncCourse&) = default;
};

struct Meter {
  std::optional<control::Report> last{};
  Amounts amounts{};
  std::deque<MeterSample> samples{};  ///< the window, oldest first
  SyncCourse sync{};
  /// KB a second; made anew each kRateEvery, so that a busy replica is not news each millisecond.
  Amounts rates{};
  MonoTime rated{};
  friend bool operator==(const Meter&, const Meter&) = default;
};

/// A rate is a mean over this time, or over what is known of it.
inline constexpr Duration kRateWindow = seconds{3};
inline constexpr Duration kRateEvery = seconds{1};
/// Reports come when something changes: samples are kept this far apart.
inline constexpr Duration kSampleEvery = milliseconds{100};
/// Of a synchronisation that runs, a line with its progress.
inline constexpr Duration kProgressEvery = seconds{10};

struct Measured {
  Meter meter{};
  std::string line{};  ///< for the module's log; empty: none
  friend bool operator==(const Measured&, const Measured&) = default;
};
/// `report`: the last one, nothing where no replica is heard.
[[nodiscard]] Measured measure(const Meter& before, const std::optional<control::Report>& report, MonoTime now);

/// What is left of the synchronisation that runs: nothing where that cannot be said, as long as the size of the whole is not known.
[[nodiscard]] std::optional<Duration> time_left(const Meter& meter);

/// All metrics, `rfs.` in front.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> metrics_of(const Meter& meter);

}  // namespace safekit::replication
