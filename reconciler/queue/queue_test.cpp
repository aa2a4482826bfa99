#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "reconciler/queue/work_queue.h"

namespace safekit::queue {
namespace {

constexpr MonoTime at(int ms) { return MonoTime{} + milliseconds{ms}; }

TEST(Backoff, DoublesUpToTheLongest) {
  const BackoffLimits limits{.first = milliseconds{50}, .longest = seconds{1}};
  EXPECT_EQ(backoff(1, limits, 0), milliseconds{50});
  EXPECT_EQ(backoff(2, limits, 0), milliseconds{100});
  EXPECT_EQ(backoff(5, limits, 0), milliseconds{800});
  EXPECT_EQ(backoff(6, limits, 0), seconds{1});
  EXPECT_EQ(backoff(std::numeric_limits<std::uint32_t>::max(), limits, 0), seconds{1});
}

TEST(Backoff, JitterTakesOffAQuarterAtMost) {
  const BackoffLimits limits{};
  for (std::uint32_t failures = 1; failures < 20; ++failures) {
    const Duration full = backoff(failures, limits, 0);
    Duration last = full;
    for (std::uint64_t jitter = 0; jitter <= 0xFFFFFFFFU; jitter += 0x10000000U) {
      const Duration delay = backoff(failures, limits, static_cast<std::uint32_t>(jitter));
      EXPECT_LE(delay, last);
      EXPECT_GE(delay, full * 3 / 4);
      last = delay;
    }
  }
}

TEST(WorkQueue, DropsDuplicatesAndKeepsTheEarliestTime) {
  WorkQueue<std::string> queue;
  queue.add("a", at(30));
  queue.add("a", at(10));
  queue.add("a", at(20));
  EXPECT_EQ(queue.next_due(), at(10));
  EXPECT_FALSE(queue.take(at(9)).has_value());
  EXPECT_EQ(queue.take(at(10)), "a");
  EXPECT_FALSE(queue.take(at(100)).has_value());
}

TEST(WorkQueue, GivesTheOneDueLongestFirst) {
  WorkQueue<std::string> queue;
  queue.add("a", at(30));
  queue.add("b", at(10));
  queue.add("c", at(20));
  EXPECT_EQ(queue.take(at(100)), "b");
  EXPECT_EQ(queue.take(at(100)), "c");
  EXPECT_EQ(queue.take(at(100)), "a");
}

TEST(WorkQueue, RunsAKeyOnceAtATime) {
  WorkQueue<std::string> queue;
  queue.add("a", at(0));
  EXPECT_EQ(queue.take(at(0)), "a");
  queue.add("a", at(0));
  EXPECT_FALSE(queue.take(at(1)).has_value());
  EXPECT_FALSE(queue.next_due().has_value());
  queue.done("a", std::nullopt);
  EXPECT_EQ(queue.take(at(1)), "a");
  queue.done("a", std::nullopt);
  EXPECT_EQ(queue.size(), 0U);
}

TEST(WorkQueue, ComesBackWhenAskedFor) {
  WorkQueue<std::string> queue;
  queue.add("a", at(0));
  EXPECT_EQ(queue.take(at(0)), "a");
  queue.done("a", at(500));
  EXPECT_EQ(queue.next_due(), at(500));
  queue.add("a", at(100));
  EXPECT_EQ(queue.next_due(), at(100));
}

TEST(WorkQueue, BacksOffUntilASuccess) {
  WorkQueue<std::string> queue;
  const BackoffLimits limits{.first = milliseconds{10}, .longest = milliseconds{40}};
  queue.add("a", at(0));
  for (const int expected : {10, 20, 40, 40}) {
    ASSERT_EQ(queue.take(*queue.next_due()), "a");
    EXPECT_EQ(queue.failed("a", at(0), limits, 0), milliseconds{expected});
  }
  EXPECT_EQ(queue.failures("a"), 4U);
  ASSERT_EQ(queue.take(at(1000)), "a");
  queue.done("a", std::nullopt);
  EXPECT_EQ(queue.failures("a"), 0U);
}

TEST(WorkQueue, AChangeEndsTheWaitAfterAFailure) {
  WorkQueue<std::string> queue;
  queue.add("a", at(0));
  ASSERT_TRUE(queue.take(at(0)).has_value());
  queue.failed("a", at(0), BackoffLimits{}, 0);
  queue.add("a", at(1));
  EXPECT_EQ(queue.take(at(1)), "a");
}

}  // namespace
}  // namespace safekit::queue
