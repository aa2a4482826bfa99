#include "datapath/heartbeat/table.h"

#include <gtest/gtest.h>

namespace safekit::heartbeat {
namespace {

constexpr MonoTime kStart{1'000'000'000};
constexpr Duration kSilence = milliseconds{200};

Table two_links() {
  return Table{{{.listening_since = kStart, .timeout = seconds{1}},
                {.listening_since = kStart, .timeout = seconds{3}}}};
}

TEST(HeartbeatTable, ALinkNeverHeardIsDownAfterItsTimeout) {
  Table table = two_links();
  EXPECT_EQ(table.next_deadline(), kStart + seconds{1});
  EXPECT_TRUE(table.advance(kStart + seconds{1} - Duration{1}).empty());
  EXPECT_EQ(table.advance(kStart + seconds{1}), std::vector<std::size_t>{0});
  EXPECT_EQ(table.next_deadline(), kStart + seconds{3});
  EXPECT_TRUE(table.advance(kStart + seconds{2}).empty()) << "told once";
  EXPECT_EQ(table.links()[1].health, Health::Init);
}

TEST(HeartbeatTable, HearingMovesTheDeadlineAndTellsNewsOnce) {
  Table table = two_links();
  EXPECT_TRUE(table.heard(0, kSilence, kStart + milliseconds{100}));
  EXPECT_FALSE(table.heard(0, kSilence, kStart + milliseconds{200}));
  EXPECT_TRUE(table.heard(0, kSilence, kStart + milliseconds{500})) << "after a gap";
  EXPECT_EQ(table.next_deadline(), kStart + milliseconds{1500});
  EXPECT_EQ(table.advance(kStart + milliseconds{1500}), std::vector<std::size_t>{0});
  EXPECT_TRUE(table.heard(0, kSilence, kStart + milliseconds{1600}));
  EXPECT_EQ(table.links()[0].health, Health::Up);
}

TEST(HeartbeatTable, OwnAbsenceIsNoLossOfThePeer) {
  Table table = two_links();
  (void)table.heard(0, kSilence, kStart);
  const MonoTime awake = kStart + seconds{5};
  table.postpone(milliseconds{4900}, awake);
  EXPECT_TRUE(table.advance(awake).empty());
  EXPECT_EQ(table.next_deadline(), kStart + milliseconds{5900}) << "100 ms of silence were its own";
  table.postpone(hours{1}, awake);
  EXPECT_EQ(table.links()[0].listening_since, awake) << "no time-out starts in the future";
}

TEST(HeartbeatTable, WithoutATimeoutALinkIsNeverDown) {
  Table table{{{.listening_since = kStart}}};
  EXPECT_EQ(table.next_deadline(), std::nullopt);
  EXPECT_TRUE(table.advance(kStart + hours{24}).empty());
  EXPECT_TRUE(table.heard(0, kSilence, kStart + hours{24}));
}

}  // namespace
}  // namespace safekit::heartbeat
