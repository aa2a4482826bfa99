#include "datapath/linux/bundle.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace safekit::bundle {
namespace {

TEST(Bundle, PlacesAndHeadsAreReadAsTheyWereWritten) {
  const Place place{.bundle = {1, 2, 3}, .count = 4, .index = 3};
  EXPECT_EQ(*decode_place(encode(place)), place);
  const PieceHead head{.number = 0x0102030405060708, .bytes = 0x0a0b0c0d};
  std::array<std::uint8_t, kPieceHeadBytes> bytes{};
  encode(head, bytes);
  EXPECT_EQ(decode_head(bytes), head);
}

TEST(Bundle, RefusesAPlaceThatCannotBe) {
  EXPECT_FALSE(decode_place(encode({.count = 0, .index = 0})));
  EXPECT_FALSE(decode_place(encode({.count = 3, .index = 3})));
  EXPECT_FALSE(decode_place(encode({.count = kConnectionsMax + 1, .index = 0})));
  auto bytes = encode({.count = 2, .index = 1});
  bytes[0] ^= 1;
  EXPECT_EQ(decode_place(bytes).error().code, Code::Corrupt);
}

/// What is on its way on one connection, as seen by the receiver: a byte of a piece is its number.
struct Line {
  std::deque<PieceHead> pieces{};
};

TEST(PieceOrder, GivesThePiecesInOrderHoweverTheyWereSpread) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random{seed};
    std::vector<Line> lines(1 + seed % 5);
    PieceOrder order{lines.size()};
    std::uint64_t sent = 0;
    std::uint64_t got = 0;
    // Pieces come late on any connection, but on each in the order in which they were sent.
    for (int step = 0; step < 2000; ++step) {
      if (sent < 100 && random() % 3 == 0) {
        lines[random() % lines.size()].pieces.push_back({++sent, 1 + static_cast<std::uint32_t>(random() % 3)});
      }
      const std::size_t i = random() % lines.size();
      if (order.wants_head(i) && !lines[i].pieces.empty()) {
        ASSERT_TRUE(order.note(i, lines[i].pieces.front())) << "seed " << seed;
      }
      if (const auto due = order.due()) {
        auto& pieces = lines[due->connection].pieces;
        ASSERT_EQ(pieces.front().number, got + 1) << "seed " << seed;
        ASSERT_EQ(pieces.front().bytes, due->bytes);
        order.read(1);
        if (--pieces.front().bytes == 0) {
          pieces.pop_front();
          ++got;
        }
      }
    }
    EXPECT_EQ(got, 100u) << "seed " << seed;
  }
}

TEST(PieceOrder, NoticesWhatNoSenderDoes) {
  PieceOrder lengths{2};
  EXPECT_EQ(lengths.note(0, {1, 0}).error().code, Code::Corrupt);
  EXPECT_EQ(lengths.note(0, {1, kPieceBytesMax + 1}).error().code, Code::Corrupt);
  PieceOrder twice{3};
  ASSERT_TRUE(twice.note(0, {2, 1}));
  EXPECT_EQ(twice.note(1, {2, 1}).error().code, Code::Corrupt);
  PieceOrder again{2};
  ASSERT_TRUE(again.note(0, {1, 1}));
  again.read(1);
  EXPECT_EQ(again.note(0, {1, 1}).error().code, Code::Corrupt);
  PieceOrder missing{2};
  ASSERT_TRUE(missing.note(0, {3, 1}));
  EXPECT_EQ(missing.note(1, {2, 1}).error().code, Code::Corrupt);
}

TEST(PieceOrder, TakesAnythingThatMayCome) {
  std::mt19937 random{1};
  for (int round = 0; round < 2000; ++round) {
    const std::size_t connections = 1 + random() % 4;
    PieceOrder order{connections};
    for (Status noted; noted;) {
      const std::size_t i = random() % connections;
      if (const auto due = order.due()) {
        ASSERT_GT(due->bytes, 0u);
        order.read(1 + random() % due->bytes);
      } else if (order.wants_head(i)) {
        noted = order.note(i, {random() % 6, static_cast<std::uint32_t>(random() % (kPieceBytesMax + 2))});
      }
    }
  }
}

TEST(Bundle, ChoosesTheConnectionWithTheLeastOnItsWay) {
  using Loads = std::vector<std::optional<std::uint64_t>>;
  EXPECT_EQ(choose(Loads{0, 0, 0}), 0u);
  EXPECT_EQ(choose(Loads{9, 5, 5}), 1u);
  EXPECT_EQ(choose(Loads{{}, 9}), 1u);
  EXPECT_EQ(choose(Loads{{}, {}}), std::nullopt);
}

}  // namespace
}  // namespace safekit::bundle
