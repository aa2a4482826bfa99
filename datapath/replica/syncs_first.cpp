#include "datapath/replica/syncs_first.h"

#include <time.h>

#include <algorithm>
#include <thread>

#include "datapath/resync/zone_digest.h"

namespace safekit::replica {

namespace {

constexpr Duration kExpectedFor = milliseconds{100};
constexpr Duration kWorkMin = milliseconds{2};  ///< after a sync was waited for, and the next is under way
constexpr std::uint64_t kWorkPerSecond = 500'000'000;  ///< ns: half of a processor
constexpr Duration kSavedMax = microseconds{200};  ///< of rest, while turns were kept waiting: a processor was free for others then

/// Of a processor, by this thread.
Duration worked() {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return seconds{spent.tv_sec} + std::chrono::nanoseconds{spent.tv_nsec};
}

}  // namespace

SyncsFirst::SyncsFirst(const Clock& clock, Duration stand_back_max) : clock_(clock), stand_back_max_(stand_back_max) {
  work_.set(kWorkPerSecond);
}

SyncsFirst::Turn::Turn(SyncsFirst& of, std::unique_lock<std::mutex>&& lock) : of_(of), lock_(std::move(lock)) {
  if (!is_alone()) return;
  began_ = of_.clock_.mono_now();
  worked_before_ = worked();
}

SyncsFirst::Turn::~Turn() {
  if (!is_alone()) return;
  of_.work_.spend(static_cast<std::uint64_t>((worked() - worked_before_).count()), began_ - kSavedMax);
}

void SyncsFirst::begun() {
  begun_ = clock_.mono_now().ns;
  under_way_ = true;
}

void SyncsFirst::ended() {
  if (!under_way_.exchange(false)) return;
  {
    const std::lock_guard lock{mutex_};
    ++ended_;
  }
  wake_.notify_all();
}

bool SyncsFirst::expected() const { return clock_.mono_now().ns - begun_ < kExpectedFor.count(); }

SyncsFirst::Turn SyncsFirst::turn() {
  if (!expected()) return {*this, {}};
  std::unique_lock mine{turn_};
  // A thread of low priority is not always put aside at once when a sync needs its processor: one is left free.
  std::this_thread::sleep_for(work_.owed(clock_.mono_now()));
  if (under_way_ && clock_.mono_now() >= works_until_) {
    std::unique_lock lock{mutex_};
    // One that ends is enough: where they follow each other at once, the next has begun before this thread is awake.
    wake_.wait_for(lock, stand_back_max_, [this, before = ended_] { return !under_way_ || ended_ != before; });
    if (under_way_) works_until_ = clock_.mono_now() + kWorkMin;
  }
  return {*this, std::move(mine)};
}

Result<std::vector<Digest128>> SyncsFirst::digest_zones(int fd, std::uint32_t zone_bytes, std::uint64_t first, std::size_t count) {
  const std::size_t piece = std::max<std::size_t>(kPieceBytes / zone_bytes, 1);
  std::vector<Digest128> digests;
  digests.reserve(count);
  for (std::size_t done = 0; done < count; done += piece) {
    const auto mine = turn();
    SK_TRY(const auto some, resync::digest_zones(fd, zone_bytes, first + done, std::min(piece, count - done)));
    digests.insert(digests.end(), some.begin(), some.end());
  }
  return digests;
}

}  // namespace safekit::replica
