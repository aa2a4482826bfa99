#include "datapath/replica/rate_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace safekit::replica {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

TEST(RateLimit, TenSecondsAreTenSecondsWhateverThePieces) {
  for (const std::uint64_t piece : {std::uint64_t{1}, std::uint64_t{4096}, 256 * 1024UL, 3 * kMiB}) {
    RateLimit limit;
    limit.set(kMiB);
    MonoTime now{5};
    std::uint64_t sent = 0;
    while (sent < 10 * kMiB) {
      now = now + limit.owed(now);
      limit.spend(piece, now);
      sent += piece;
    }
    now = now + limit.owed(now);
    const double seconds_taken = static_cast<double>(now.ns - 5) / 1e9;
    EXPECT_NEAR(seconds_taken, static_cast<double>(sent) / kMiB, 0.1) << piece;
  }
}

TEST(RateLimit, ManySendersTogetherKeepIt) {
  RateLimit limit;
  limit.set(kMiB);
  std::array<MonoTime, 6> senders{};  // when each may send again
  std::uint64_t sent = 0;
  MonoTime now{};
  while (now < MonoTime{} + seconds{20}) {
    MonoTime& next = *std::ranges::min_element(senders);
    now = next;
    if (const Duration owed = limit.owed(now); owed > Duration{0}) {
      next = now + owed;
      continue;
    }
    limit.spend(256 * 1024, now);
    sent += 256 * 1024;
    next = now + microseconds{300};  // reading the next piece
  }
  EXPECT_NEAR(static_cast<double>(sent) / kMiB, 20.0, 2.0);
}

TEST(RateLimit, APauseIsNotMadeUpFor) {
  RateLimit limit;
  limit.set(kMiB);
  limit.spend(kMiB, MonoTime{0});
  const MonoTime later = MonoTime{} + hours{1};
  EXPECT_EQ(limit.owed(later), Duration{0});
  limit.spend(2 * kMiB, later);
  EXPECT_EQ(limit.owed(later), Duration{seconds{2}});
}

TEST(RateLimit, NoneAndAnotherOne) {
  RateLimit limit;
  limit.spend(UINT64_MAX, MonoTime{0});
  EXPECT_EQ(limit.owed(MonoTime{0}), Duration{0});
  limit.set(1);
  limit.spend(1000, MonoTime{0});
  EXPECT_EQ(limit.owed(MonoTime{0}), Duration{seconds{1000}});
  limit.set(1);
  EXPECT_EQ(limit.owed(MonoTime{0}), Duration{seconds{1000}}) << "said again";
  limit.set(0);
  EXPECT_EQ(limit.owed(MonoTime{0}), Duration{0});
}

}  // namespace
}  // namespace safekit::replica
