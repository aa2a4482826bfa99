#include "reconciler/witness/lease_book.h"

#include <gtest/gtest.h>

#include "schema/base/digest.h"

namespace safekit::witness {
namespace {

constexpr MonoTime kNow{1'000'000'000'000};

class LeaseBookTest : public testing::Test {
 protected:
  LeaseBook::Answer ask(const std::string& holder, const std::string& id = {}, Duration length = seconds{10}) {
    auto answer = book.acquire({.name = "m", .holder = holder, .id = id, .length = length}, "id" + std::to_string(++fresh), now);
    EXPECT_TRUE(answer.has_value());
    return *answer;
  }
  /// In the place of a holder whose lease has run out.
  bool succeeds(const std::string& holder) {
    return book.acquire({.name = "m", .holder = holder, .length = seconds{10}, .succeeds = true}, "id" + std::to_string(++fresh), now)->granted;
  }
  LeaseBook restarted() { return LeaseBook::from_text(book.to_text(), now).value(); }

  LeaseBook book{};
  MonoTime now{kNow};
  int fresh{0};
};

TEST_F(LeaseBookTest, OneHolderAtATime) {
  EXPECT_EQ(ask("a"), (LeaseBook::Answer{.granted = true, .holder = "a", .id = "id1", .length = seconds{10}, .must_be_kept = true}));
  now = now + seconds{4};
  EXPECT_EQ(ask("b"), (LeaseBook::Answer{.holder = "a"}));
  EXPECT_EQ(ask("a", "id1"), (LeaseBook::Answer{.granted = true, .holder = "a", .id = "id1", .length = seconds{10}}));
  now = now + seconds{10} - Duration{1};
  EXPECT_FALSE(succeeds("b"));
  now = now + Duration{1};
  EXPECT_TRUE(succeeds("b"));
  EXPECT_FALSE(ask("a", "id1").granted);
}

TEST_F(LeaseBookTest, WhatHasRunOutKeepsOthersAwayUntilItIsGivenBack) {
  (void)ask("a");
  now = now + hours{100};
  EXPECT_EQ(ask("b"), (LeaseBook::Answer{.holder = "a", .has_ended = true}));
  book = restarted();
  now = now + hours{100};
  EXPECT_FALSE(ask("b").granted);
  EXPECT_EQ(book.held(now), 0U);
  const auto mine = book.acquire({.name = "m", .holder = "b", .length = seconds{10}, .only_mine = true}, "x", now);
  EXPECT_FALSE(mine->granted);
  const auto again = book.acquire({.name = "m", .holder = "a", .length = seconds{10}, .only_mine = true}, "y", now);
  EXPECT_TRUE(again->granted);
  EXPECT_TRUE(book.release("m", again->id));
  EXPECT_EQ(*book.acquire({.name = "m", .holder = "b", .length = seconds{10}, .only_mine = true}, "z", now), LeaseBook::Answer{});
  EXPECT_TRUE(ask("b").granted);
}

TEST_F(LeaseBookTest, ARequestThatIsLateShortensNothing) {
  (void)ask("a", "", seconds{30});
  EXPECT_TRUE(ask("a", "id1", seconds{3}).granted);
  now = now + seconds{29};
  EXPECT_FALSE(ask("b").granted);
  EXPECT_TRUE(ask("a", "of before", seconds{3}).granted);  // another id; and the 30 s are remembered
  now = now + seconds{2};
  EXPECT_FALSE(ask("b").granted);
}

TEST_F(LeaseBookTest, AReleaseThatWasOvertakenDoesNothing) {
  (void)ask("a");
  EXPECT_FALSE(book.release("m", "id0"));
  (void)ask("a");  // anew, before the release of the first came
  EXPECT_FALSE(book.release("m", "id1"));
  EXPECT_FALSE(ask("b").granted);
  EXPECT_TRUE(book.release("m", "id2"));
  EXPECT_TRUE(ask("b").granted);
}

TEST_F(LeaseBookTest, AStartTakesEachLeaseForJustGranted) {
  (void)ask("a", "", seconds{7});
  now = now + seconds{6};
  book = restarted();
  now = now + seconds{7} - Duration{1};
  EXPECT_FALSE(ask("b").granted);
  EXPECT_EQ(ask("a", "id1").id, "id1");
  now = MonoTime{5};  // a reboot: another clock
  book = restarted();
  EXPECT_FALSE(ask("b").granted);
  now = now + seconds{10};
  EXPECT_TRUE(succeeds("b"));
}

TEST_F(LeaseBookTest, WithoutItsFileItGrantsNothingForTheLongestLease) {
  book.grant_nothing_before(now + LeaseBook::kLongest);
  now = now + LeaseBook::kLongest - milliseconds{1};
  EXPECT_EQ(ask("a"), LeaseBook::Answer{});
  now = now + milliseconds{1};
  EXPECT_TRUE(ask("a", "", hours{1}).granted);
  now = now + LeaseBook::kLongest - milliseconds{1};
  EXPECT_FALSE(succeeds("b"));
  now = now + milliseconds{1};
  EXPECT_TRUE(succeeds("b"));
}

TEST_F(LeaseBookTest, HasABound) {
  for (std::size_t i = 0; i < LeaseBook::kLeasesMax; ++i) {
    ASSERT_TRUE(book.acquire({.name = std::to_string(i), .holder = "a", .length = seconds{10}}, "x", now).has_value());
  }
  EXPECT_EQ(book.held(now), LeaseBook::kLeasesMax);
  const auto refused = book.acquire({.name = "m", .holder = "a", .length = seconds{10}}, "x", now);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::Exhausted);
  EXPECT_TRUE(book.acquire({.name = "7", .holder = "a", .id = "x", .length = seconds{10}}, "y", now).has_value());
  EXPECT_TRUE(book.release("8", "x"));
  EXPECT_TRUE(ask("a").granted);  // what is given back makes room
}

TEST_F(LeaseBookTest, ADamagedFileIsSeen) {
  (void)ask("a");
  const std::string text = book.to_text();
  EXPECT_TRUE(LeaseBook::from_text(text, now).has_value());
  EXPECT_TRUE(LeaseBook::from_text(LeaseBook{}.to_text(), now).has_value());
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(LeaseBook::from_text(damaged, now).has_value()) << i;
    EXPECT_FALSE(LeaseBook::from_text(text.substr(0, i), now).has_value()) << i;
  }
  for (const std::string length : {"0", "-1", "60001", "333333333333335", "99999999999999999999", "5 ", "x"}) {
    const std::string line = "m a 7 " + length + "\n";
    const auto book_of = [](const std::string& lines) { return fmt::format("safekit-leases 1 {:08x}\n{}", checksum32(as_bytes(lines)), lines); };
    EXPECT_FALSE(LeaseBook::from_text(book_of(line), now).has_value()) << length;
    EXPECT_TRUE(LeaseBook::from_text(book_of("m a 7 60000\n"), now).has_value());
  }
  EXPECT_EQ(LeaseBook::from_text("safekit-leases 2 00000000\n", now).error().code, Code::Unsupported);
}

}  // namespace
}  // namespace safekit::witness
