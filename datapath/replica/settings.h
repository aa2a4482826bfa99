#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "schema/base/time.h"

namespace safekit::replica {

/// What both sides of a replication need to know. A value.
struct Settings {
  std::string cluster_id{};
  std::string module{};
  std::string node{};
  std::string peer{};
  std::uint32_t zone_bytes{1 << 16};
  std::uint32_t root_count{0};
  std::uint32_t workers{6};
  bool sync_durable{true};  ///< an fsync waits for the peer's disk
  Duration send_timeout{seconds{30}};
  Duration lock_timeout{seconds{100}};
  bool uses_zones{true};  ///< false: each synchronisation compares everything
  bool resync_detail{false};  ///< a line in the log for each file that a synchronisation copied something of
  Duration resync_timeout{seconds{150}};  ///< no answer at all to the requests of a synchronisation for so long: it ends
  bool verify_after_resync{false};  ///< at first; see Primary::verify_after_resync
  std::string boot_id{};  ///< of this boot of the machine
  std::string lost_directory{};  ///< where a secondary sets aside what its copy alone has (datapath/lost)
  std::uint64_t lost_bytes_max{0};  ///< of all that is in it
  enum class Snapshot : std::uint8_t { Never, Auto, Always };
  Snapshot snapshot{Snapshot::Never};  ///< keep the last consistent copy: Auto where blocks can be shared, Always by copying too
};

/// How a synchronisation goes; for reports.
struct Progress {
  enum class Phase : std::uint8_t { None, Connecting, Comparing, Copying, Done };
  Phase phase{Phase::None};
  std::uint64_t files_total{0};
  std::uint64_t files_done{0};
  std::uint64_t bytes_copied{0};
  std::uint64_t bytes_compared{0};  ///< by digests
  bool scanning{false};                ///< there are directories to be listed; until then the totals grow
  std::uint64_t directories_total{0};  ///< found so far
  std::uint64_t directories_done{0};   ///< listed
  std::uint64_t bytes_total{0};        ///< size of the files found so far, of which something is looked into
  std::uint64_t bytes_done{0};         ///< of these: compared, or sent
  friend bool operator==(const Progress&, const Progress&) = default;
};

/// Silence that confirms a peer which the control plane says is dead, and how often each side says something. Thread: any.
class Patience {
 public:
  static constexpr Duration kShortest = milliseconds{100};  ///< below it a busy machine is silent
  static constexpr Duration kLongest = milliseconds{750};
  void set(Duration silence) { silence_ = std::clamp(silence, kShortest, kLongest).count(); }
  [[nodiscard]] Duration late() const { return Duration{silence_.load()}; }
  [[nodiscard]] Duration every() const { return late() / 3; }

 private:
  std::atomic<std::int64_t> silence_{Duration{kLongest}.count()};
};
inline constexpr Duration kHelloMax = seconds{5};
/// The end of a synchronisation: until then nobody refers any more to what was looked into.
inline constexpr Duration kGiveBackAfter = seconds{2};
inline constexpr Duration kRetryEvery = milliseconds{300};

}  // namespace safekit::replica
