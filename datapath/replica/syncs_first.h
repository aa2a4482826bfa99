#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "datapath/replica/rate_limit.h"
#include "schema/base/digest.h"
#include "schema/base/result.h"
#include "schema/port/clock.h"

namespace safekit::replica {

/// Lets the syncs of an application go first where a synchronisation reads the same disk, on either node. While they come again and
/// again, those who read do so one after the other, little at a time, not during a sync, and with half of a processor at most: a sync
/// waits for each read that is under way, and for each thread that has to make room. They stand back for a bounded part of the time,
/// also where syncs never end; what kept them waiting anyway counts. Thread: all, a service; who asks for a turn may hold no lock that
/// a sync needs.
class SyncsFirst {
 public:
  /// stand_back_max: how long a turn waits for a sync that does not end.
  explicit SyncsFirst(const Clock& clock, Duration stand_back_max = milliseconds{4});

  void begun();
  void ended();
  /// One began lately, so that another is expected.
  [[nodiscard]] bool expected() const;

  /// Held while the caller reads; of no effect where no sync was expected. Begins and ends on one thread.
  class Turn {
   public:
    Turn(Turn&&) = delete;
    ~Turn();
    [[nodiscard]] bool is_alone() const { return lock_.owns_lock(); }

   private:
    friend class SyncsFirst;
    Turn(SyncsFirst& of, std::unique_lock<std::mutex>&& lock);
    SyncsFirst& of_;
    std::unique_lock<std::mutex> lock_;
    MonoTime began_{};
    Duration worked_before_{};
  };
  /// Waits until the caller may read.
  [[nodiscard]] Turn turn();
  /// resync::digest_zones, of at most kPieceBytes in a turn (of one zone where it is larger).
  [[nodiscard]] Result<std::vector<Digest128>> digest_zones(int fd, std::uint32_t zone_bytes, std::uint64_t first, std::size_t count);

  static constexpr std::uint64_t kPieceBytes = 256U << 10;

 private:
  const Clock& clock_;
  const Duration stand_back_max_;
  std::atomic<std::int64_t> begun_{INT64_MIN / 2};  ///< the last one
  std::atomic<bool> under_way_{false};              ///< one began, and none has ended since
  std::mutex turn_{};        ///< before mutex_
  MonoTime works_until_{};   ///< whatever is under way; under turn_
  RateLimit work_{};         ///< nanoseconds of a processor instead of bytes; under turn_
  std::mutex mutex_{};
  std::condition_variable wake_{};
  std::uint64_t ended_{0};
};

}  // namespace safekit::replica
