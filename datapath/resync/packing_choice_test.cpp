#include "datapath/resync/packing_choice.h"

#include <gtest/gtest.h>

namespace safekit::resync {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;

/// A synchronisation that waits 100 times a second for one thing or the other.
struct Waiting {
  PackingChoice choice{};
  PackingChoice::Look now{.now = {5'000'000'000}};

  void times(int count, std::uint64_t unconfirmed, Duration held_back = {}, std::uint64_t rate = 5 * kMiB) {
    for (int i = 0; i < count; ++i) {
      now.now = now.now + milliseconds{10};
      now.held_back += held_back;
      now.sent += rate / 100;
      now.unacknowledged = 2 * kMiB;
      now.unconfirmed = unconfirmed;
      choice.look(now);
    }
  }
  void for_line(int count = 20, std::uint64_t rate = 5 * kMiB) { times(count, 2 * kMiB, {}, rate); }
  void for_disk(int count = 20) { times(count, 0); }
  void for_full_disk(int count = 20) { times(count, 2 * kMiB, milliseconds{9}); }
  bool wants() { return choice.wants(now.now); }
};

TEST(PackingChoice, PacksOnlyWhenTheLineIsTheBound) {
  Waiting waiting;
  EXPECT_FALSE(waiting.wants()) << "nothing is known";
  waiting.for_disk();
  EXPECT_FALSE(waiting.wants()) << "the peer has it, and applies it slowly";
  waiting.for_full_disk();
  EXPECT_FALSE(waiting.wants()) << "the peer's kernel is full, for it is read slowly";
  waiting.for_line(3);
  EXPECT_FALSE(waiting.wants()) << "a short while";
  waiting.for_line();
  EXPECT_TRUE(waiting.wants());
  waiting.for_disk(3);
  EXPECT_TRUE(waiting.wants()) << "a short while";
  waiting.for_disk();
  EXPECT_FALSE(waiting.wants());
}

TEST(PackingChoice, OfSeveralConnectionsThePeerAlwaysKeepsBackSome) {
  Waiting waiting;
  waiting.now.connections = 4;
  waiting.times(20, 2 * kMiB, milliseconds{39});
  EXPECT_FALSE(waiting.wants()) << "it reads none of them";
  waiting.times(20, 2 * kMiB, milliseconds{30});
  EXPECT_TRUE(waiting.wants());
}

TEST(PackingChoice, EndsWhenNothingWaits) {
  Waiting waiting;
  waiting.for_line();
  ASSERT_TRUE(waiting.wants());
  waiting.now.now = waiting.now.now + PackingChoice::kForgetAfter + milliseconds{1};
  EXPECT_FALSE(waiting.wants());
  waiting.for_line();
  EXPECT_TRUE(waiting.wants());
}

TEST(PackingChoice, ALineMayBeSoSlowThatEachWaitIsLong) {
  Waiting waiting;
  for (int i = 0; i < 10; ++i) {
    waiting.for_line(1);
    waiting.now.now = waiting.now.now + seconds{3};
    waiting.now.has_waited = true;
    waiting.choice.look(waiting.now);
    waiting.now.has_waited = false;
  }
  EXPECT_TRUE(waiting.wants());
}

TEST(PackingChoice, IsNotWantedWhereTheLineIsFasterThanPacking) {
  for (const std::uint64_t rate : {1 * kMiB, 10 * kMiB, 100 * kMiB, 300 * kMiB, 1000 * kMiB}) {
    Waiting waiting;
    waiting.for_line(20, rate);
    ASSERT_TRUE(waiting.wants()) << "it has to be tried";
    // 300 MiB/s.
    waiting.choice.packed(300 * kMiB / 100, kMiB, milliseconds{10}, waiting.now.now);
    EXPECT_EQ(waiting.wants(), rate <= 100 * kMiB) << rate;
    waiting.for_line(1001, rate);
    EXPECT_TRUE(waiting.wants()) << "and is tried again some time";
  }
}

TEST(PackingChoice, WhatCannotBePackedIsSeldomTriedWhereThatCostsSomething) {
  Waiting slow;
  slow.for_line();
  for (int piece = 0; piece < 100; ++piece) {
    ASSERT_TRUE(slow.wants()) << piece;
    slow.choice.packed(kMiB, kMiB, milliseconds{1}, slow.now.now);
  }
  Waiting waiting;
  waiting.for_line(20, 200 * kMiB);
  int tried = 0;
  for (int piece = 0; piece < 10'000; ++piece) {
    if (!waiting.wants()) continue;
    ++tried;
    waiting.choice.packed(kMiB, kMiB, milliseconds{1}, waiting.now.now);
  }
  EXPECT_GT(tried, 100);
  EXPECT_LT(tried, 200);
  // One that can be ends that.
  while (!waiting.wants()) {}
  waiting.choice.packed(kMiB, kMiB / 2, milliseconds{1}, waiting.now.now);
  for (int piece = 0; piece < 100; ++piece) EXPECT_TRUE(waiting.wants());
}

}  // namespace
}  // namespace safekit::resync
