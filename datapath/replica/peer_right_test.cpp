#include "datapath/replica/peer_right.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace safekit::replica {
namespace {

constexpr std::int64_t kMs = 1'000'000;

/// A clock that shows anything and is wrong by up to 1/1000, in real nanoseconds.
struct Drifting {
  std::int64_t offset{0};
  std::int64_t per_million{0};
  [[nodiscard]] std::int64_t at(std::int64_t real) const { return offset + real + real / 1'000'000 * per_million; }
  /// The last real moment at which it shows no more than `shown`.
  [[nodiscard]] std::int64_t real(std::int64_t shown) const {
    auto guess = static_cast<std::int64_t>(static_cast<long double>(shown - offset) * 1'000'000 / (1'000'000 + per_million));
    while (at(guess) > shown) guess -= 1000;
    while (at(guess + 1000) <= shown) guess += 1000;
    return guess;
  }
};

/// Both sides and a line between them, in steps of a millisecond of real time.
struct Played {
  Drifting own{};
  Drifting peers{};
  std::int64_t length{0};
  std::int64_t every{0};
  std::function<std::int64_t()> delay{};
  std::function<std::int64_t()> blocked{};  ///< for so long from now on, after it has read something

  PeerRight right{};
  std::int64_t promised{0};  ///< the peer's own bound, in real time
  std::int64_t now{0};
  std::deque<std::pair<std::int64_t, std::uint64_t>> questions{};
  std::deque<std::pair<std::int64_t, wire::Promise>> promises{};
  std::uint64_t answered{0};
  std::int64_t answered_at{0};
  std::int64_t heard{0};
  std::int64_t blocked_until{0};
  std::int64_t asked{0};
  std::int64_t told{0};

  void meet() {
    right.meet();
    questions.clear();
    promises.clear();
    answered = 0;
  }
  void promise() {
    const std::int64_t shown = peers.at(now);
    const std::int64_t from = now < blocked_until ? shown : heard;
    promised = std::max(promised, peers.real(from + length));
    const std::int64_t arrives = std::max(now + delay(), promises.empty() ? 0 : promises.back().first);
    promises.push_back({arrives, {.heard = from, .answered = answered, .answered_at = answered_at, .length = length}});
    told = now;
  }
  void step() {
    now += kMs;
    if (now - asked >= every) {
      asked = now;
      if (const auto number = right.ask(MonoTime{own.at(now)})) {
        questions.push_back({std::max(now + delay(), questions.empty() ? 0 : questions.back().first), *number});
      }
    }
    while (now >= blocked_until && !questions.empty() && questions.front().first <= now) {
      const bool is_first = answered == 0;
      answered = questions.front().second;
      heard = answered_at = peers.at(now);
      questions.pop_front();
      blocked_until = now + blocked();
      if (is_first) promise();
    }
    if (answered != 0 && now - told >= every) promise();
    while (!promises.empty() && promises.front().first <= now) {
      ASSERT_TRUE(right.take(promises.front().second, MonoTime{own.at(now)}));
      promises.pop_front();
    }
  }
  [[nodiscard]] bool has_right() const { return own.at(now) < right.until().ns; }
};

TEST(PeerRight, EndsNoLaterThanThePeersPromiseWhateverTheClocksAndTheLineDo) {
  std::mt19937_64 random{7};
  const auto pick = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>{least, most}(random);
  };
  std::uint64_t with_right = 0;
  std::uint64_t steps = 0;
  for (int run = 0; run < 60; ++run) {
    Played played;
    played.own = {.offset = pick(0, std::int64_t{1} << 55), .per_million = pick(-1000, 1000)};
    played.peers = {.offset = pick(0, std::int64_t{1} << 55), .per_million = pick(-1000, 1000)};
    played.length = pick(100, 3000) * kMs;
    played.every = played.length / 4;
    const std::int64_t slow_line = pick(0, 1) * pick(1, 4000) * kMs;
    const std::int64_t slow_back = pick(0, 1) * pick(1, 4000) * kMs;
    bool forth = false;
    played.delay = [&] { return pick(0, (forth = !forth) ? slow_line + kMs : slow_back + kMs); };
    played.blocked = [&] { return pick(0, 20) == 0 ? pick(1, 8000) * kMs : 0; };
    for (int i = 0; i < 6000; ++i) {
      if (pick(0, 3000) == 0) played.meet();
      played.step();
      if (HasFatalFailure()) return;
      ++steps;
      with_right += played.has_right() ? 1 : 0;
      // The primary acts up to `until` of its clock; 2 us are the rounding of the clocks here.
      if (played.right.until().ns == 0) continue;
      ASSERT_LE(played.own.real(played.right.until().ns), played.promised + 2000)
          << "run " << run << " step " << i << " drifts " << played.own.per_million << " " << played.peers.per_million;
    }
  }
  EXPECT_GT(with_right, steps / 4) << "nothing was tried";
}

TEST(PeerRight, HasNoGapWhileTheLineIsQuick) {
  std::mt19937_64 random{11};
  for (const std::int64_t drift : {-1000, 0, 1000}) {
    for (const std::int64_t timeout : {450 * kMs, 1000 * kMs, 30'000 * kMs}) {
      Played played;
      played.own = {.offset = 77, .per_million = -drift};
      played.peers = {.offset = std::int64_t{1} << 50, .per_million = drift};
      played.length = timeout / 10 * 9;
      played.every = timeout * 2 / 9;
      played.delay = [&] { return std::uniform_int_distribution<std::int64_t>{0, 20 * kMs}(random); };
      played.blocked = [] { return 0; };
      while (!played.has_right()) {
        played.step();
        ASSERT_LT(played.now, timeout);
      }
      for (int i = 0; i < 200'000; ++i) {
        played.step();
        ASSERT_TRUE(played.has_right()) << played.now;
      }
    }
  }
}

TEST(PeerRight, StaysWhileTheReceiverOfThePeerWorks) {
  Played played;
  played.length = 900 * kMs;
  played.every = 222 * kMs;
  played.delay = [] { return kMs; };
  played.blocked = [] { return 0; };
  for (int i = 0; i < 1000; ++i) played.step();
  played.blocked_until = played.now + 30'000 * kMs;
  for (int i = 0; i < 29'000; ++i) {
    played.step();
    ASSERT_TRUE(played.has_right()) << played.now;
  }
}

TEST(PeerRight, AQuestionThatWentQuicklyTellsTheClocksForThoseThatWentSlowly) {
  PeerRight right;
  (void)right.ask(MonoTime{1000 * kMs});
  ASSERT_TRUE(right.take({.heard = 0, .answered = 1, .answered_at = 0, .length = 500 * kMs}, MonoTime{1001 * kMs}));
  (void)right.ask(MonoTime{1100 * kMs});
  // It lay in a queue for 400 ms.
  ASSERT_TRUE(right.take({.heard = 500 * kMs, .answered = 2, .answered_at = 500 * kMs, .length = 500 * kMs},
                         MonoTime{1501 * kMs}));
  EXPECT_EQ(right.until().ns, 1998 * kMs - 2);
}

TEST(PeerRight, APromiseCountsUntilItHasPassedAlsoOnTheNextConnection) {
  PeerRight right;
  ASSERT_EQ(right.ask(MonoTime{1000 * kMs}), 1U);
  const wire::Promise promise{.heard = 5, .answered = 1, .answered_at = 5, .length = 500 * kMs};
  ASSERT_TRUE(right.take(promise, MonoTime{1001 * kMs}));
  EXPECT_EQ(right.until().ns, 1499 * kMs - 2);
  right.meet();
  EXPECT_EQ(right.until().ns, 1499 * kMs - 2);
  EXPECT_EQ(right.take(promise, MonoTime{1002 * kMs}).error().code, Code::Corrupt) << "no question was asked there";
  // Another clock: it shows less than that of the machine before.
  ASSERT_EQ(right.ask(MonoTime{1100 * kMs}), 1U);
  ASSERT_TRUE(right.take({.heard = 1, .answered = 1, .answered_at = 1, .length = 100 * kMs}, MonoTime{1101 * kMs}));
  EXPECT_EQ(right.until().ns, 1499 * kMs - 2) << "a shorter one takes nothing back";
}

TEST(PeerRight, AClockThatStoodStillGivesNoMoreThanWhatIsHeardNow) {
  PeerRight right;
  (void)right.ask(MonoTime{1000 * kMs});
  ASSERT_TRUE(right.take({.heard = 0, .answered = 1, .answered_at = 0, .length = 500 * kMs}, MonoTime{1001 * kMs}));
  // The peer measured an hour, this machine a second.
  (void)right.ask(MonoTime{2000 * kMs});
  const std::int64_t later = 3'600'000 * kMs;
  ASSERT_TRUE(right.take({.heard = later, .answered = 2, .answered_at = later, .length = 500 * kMs}, MonoTime{2001 * kMs}));
  EXPECT_LE(right.until().ns, 2500 * kMs);
  EXPECT_GE(right.until().ns, 2498 * kMs);
}

TEST(PeerRight, AsksNoMoreThanItCanRemember) {
  PeerRight right;
  for (std::uint64_t i = 1; i <= PeerRight::kUnansweredMax; ++i) ASSERT_EQ(right.ask(MonoTime{static_cast<std::int64_t>(i)}), i);
  EXPECT_FALSE(right.ask(MonoTime{9999}));
  ASSERT_TRUE(right.take({.heard = 1, .answered = 1, .answered_at = 1, .length = 100'000}, MonoTime{2000}));
  EXPECT_LE(right.until().ns, 100'001);
  EXPECT_TRUE(right.ask(MonoTime{9999}));
}

TEST(PeerRight, WhatCannotBeIsCorrupt) {
  PeerRight right;
  (void)right.ask(MonoTime{1000});
  const wire::Promise good{.heard = 2, .answered = 1, .answered_at = 2, .length = 3};
  for (const auto spoil : {+[](wire::Promise& p) { p.answered = 2; }, +[](wire::Promise& p) { p.answered = 0; },
                           +[](wire::Promise& p) { p.heard = INT64_MIN; }, +[](wire::Promise& p) { p.answered_at = INT64_MAX; },
                           +[](wire::Promise& p) { p.length = -1; }, +[](wire::Promise& p) { p.length = INT64_MAX; }}) {
    wire::Promise bad = good;
    spoil(bad);
    EXPECT_EQ(right.take(bad, MonoTime{2000}).error().code, Code::Corrupt);
  }
  EXPECT_TRUE(right.take(good, MonoTime{2000}));
}

}  // namespace
}  // namespace safekit::replica
