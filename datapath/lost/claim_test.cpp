#include "datapath/lost/claim.h"

#include <gtest/gtest.h>

namespace safekit::lost {
namespace {

using journal::Relation;
using Parts = std::vector<Range>;

TEST(LostRanges, SaysWhatIsMissing) {
  Ranges ranges;
  EXPECT_EQ(ranges.missing({0, 10}), (Parts{{0, 10}}));
  ranges.add({2, 4});
  ranges.add({6, 8});
  EXPECT_EQ(ranges.missing({0, 10}), (Parts{{0, 2}, {4, 6}, {8, 10}}));
  EXPECT_EQ(ranges.missing({3, 7}), (Parts{{4, 6}}));
  ranges.add({4, 6});
  EXPECT_EQ(ranges.missing({2, 8}), Parts{});
  EXPECT_EQ(ranges.missing({5, 5}), Parts{});
  ranges.add({9, UINT64_MAX});
  EXPECT_EQ(ranges.missing({0, UINT64_MAX}), (Parts{{0, 2}, {8, 9}}));
}

// All ranges of a small space against one bit per byte.
TEST(LostRanges, AgreesWithABitmap) {
  constexpr std::uint64_t kEnd = 7;
  for (std::uint64_t code = 0; code < (kEnd * kEnd) * (kEnd * kEnd); ++code) {
    Ranges ranges;
    std::array<bool, kEnd> bits{};
    for (std::uint64_t rest = code, i = 0; i < 2; rest /= kEnd * kEnd, ++i) {
      const Range range{rest % kEnd, rest / kEnd % kEnd};
      ranges.add(range);
      for (std::uint64_t k = range.begin; k < range.end; ++k) bits[k] = true;
    }
    std::array<bool, kEnd> seen{};
    seen.fill(true);
    for (const Range& gap : ranges.missing({0, kEnd})) {
      for (std::uint64_t k = gap.begin; k < gap.end; ++k) seen[k] = false;
    }
    ASSERT_EQ(seen, bits) << code;
  }
}

TEST(LostClaim, EveryRelationIsDecided) {
  const std::map<Relation, bool> wanted{{Relation::BothNew, false},    {Relation::Same, false},
                                        {Relation::PeerIsBase, true},  {Relation::PeerIsOlder, true},
                                        {Relation::MineIsOlder, false}, {Relation::Diverged, true},
                                        {Relation::Unrelated, true}};
  for (const auto& [relation, loses] : wanted) EXPECT_EQ(loses_writes(relation), loses) << to_string(relation);
}

TEST(LostClaim, TheMapTellsOnlyAgainstWhatDescendsFromItsBase) {
  const journal::DataGenerations mine{.current = {5}, .base = {3}, .history = {{3}, {2}}};
  EXPECT_TRUE(map_tells(mine, {.current = {3}, .base = {}, .history = {{2}}}));                // forced older copy
  EXPECT_TRUE(map_tells(mine, {.current = {6}, .base = {3}, .history = {}}));                  // both went on
  EXPECT_TRUE(map_tells(mine, {.current = {7}, .base = {6}, .history = {{6}, {3}}}));
  EXPECT_FALSE(map_tells(mine, {.current = {2}, .base = {}, .history = {}}));                  // older than the base: a backup
  EXPECT_FALSE(map_tells({.current = {5}, .base = {}, .history = {{3}}}, {.current = {3}, .base = {}, .history = {}}));
}

TEST(LostClaim, OwnZones) {
  journal::ZoneMap map{4096};
  map.mark("file", 4096 * 65, 1);
  map.mark("file", 4096 * 3, 4097);
  map.inode("new").whole = true;
  map.inode("directory").entries = true;
  map.inode("mode").attributes = true;
  const Own own{map};
  EXPECT_EQ(own.content("file", {0, UINT64_MAX}), (Parts{{4096 * 3, 4096 * 5}, {4096 * 65, 4096 * 66}}));
  EXPECT_EQ(own.content("file", {4096 * 4 + 5, 4096 * 65 + 1}), (Parts{{4096 * 4 + 5, 4096 * 5}, {4096 * 65, 4096 * 65 + 1}}));
  EXPECT_EQ(own.content("new", {7, 9}), (Parts{{7, 9}}));
  EXPECT_EQ(own.content("mode", {0, 9}), Parts{});
  EXPECT_EQ(own.content("other", {0, 9}), Parts{});
  EXPECT_TRUE(own.is_touched("mode"));
  EXPECT_FALSE(own.is_touched("directory"));
  EXPECT_FALSE(own.is_touched("other"));
  EXPECT_TRUE(own.are_names("directory"));
  EXPECT_FALSE(own.are_names("other"));
  const Own all;
  EXPECT_TRUE(all.is_touched("other"));
  EXPECT_EQ(all.content("other", {1, 2}), (Parts{{1, 2}}));
}

TEST(LostClaim, WhatOthersChanged) {
  journal::Activity changes;
  changes.add({.kind = journal::ActivityEntry::Kind::Groups, .key = "file"});
  changes.add({.kind = journal::ActivityEntry::Kind::Attributes, .key = "link"});
  changes.add({.kind = journal::ActivityEntry::Kind::Names, .key = "directory"});
  changes.add({.kind = journal::ActivityEntry::Kind::Tree, .key = "directory", .name = "moved"});
  const Own own{changed_by_others(changes, 4096)};
  EXPECT_EQ(own.content("file", {3, 5'000'000}), (Parts{{3, 5'000'000}}));
  EXPECT_EQ(own.content("link", {0, 9}), Parts{});
  for (const char* touched : {"file", "link", "directory"}) EXPECT_TRUE(own.is_touched(touched)) << touched;
  EXPECT_TRUE(own.are_names("directory"));
  EXPECT_FALSE(own.are_names("link"));
  EXPECT_FALSE(own.is_touched("other"));
  changes.add({.kind = journal::ActivityEntry::Kind::Everything});
  EXPECT_TRUE(changed_by_others(changes, 4096).overflown());
}

TEST(LostClaim, Blocks) {
  EXPECT_EQ(blocks_of({0, 1}, 10000), (Range{0, 4096}));
  EXPECT_EQ(blocks_of({4095, 4097}, 10000), (Range{0, 8192}));
  EXPECT_EQ(blocks_of({9000, UINT64_MAX}, 10000), (Range{8192, 10000}));
  EXPECT_EQ(blocks_of({4096, 8192}, 8192), (Range{4096, 8192}));
  const Range none = blocks_of({20000, 30000}, 10000);
  EXPECT_EQ(none.begin, none.end);
}

TEST(LostClaim, OnlyWhatAnOverwritingChanges) {
  const Bytes old_bytes(3 * kBlockBytes - 100, 1);
  Bytes fresh(kBlockBytes, 1);
  EXPECT_EQ(changed_blocks(old_bytes, 4096, fresh, 6000), Parts{});
  fresh[0] = 2;
  EXPECT_EQ(changed_blocks(old_bytes, 4096, fresh, 6000), (Parts{{4096, 8192}}));
  fresh[4000] = 2;
  EXPECT_EQ(changed_blocks(old_bytes, 4096, fresh, 6000), (Parts{{4096, 12288}}));
  fresh.assign(2 * kBlockBytes, 3);
  EXPECT_EQ(changed_blocks(old_bytes, 4096, fresh, 12288), (Parts{{12288, 16284}}));  // up to the end of the file
}

TEST(LostClaim, RoomIsTheQuotaAndAReserveOfTheDisk) {
  constexpr std::uint64_t kMega = 1U << 20;
  const Room room{.quota = 10, .used = 4, .free = 1000 * kMega, .total = 2000 * kMega};
  EXPECT_TRUE(fits(room, 6));
  EXPECT_FALSE(fits(room, 7));
  EXPECT_FALSE(fits({.quota = 3, .used = 4, .free = 1000 * kMega, .total = 2000 * kMega}, 0));
  EXPECT_TRUE(fits({.quota = 100 * kMega, .free = 65 * kMega, .total = 2000 * kMega}, kMega));
  EXPECT_FALSE(fits({.quota = 100 * kMega, .free = 65 * kMega, .total = 2000 * kMega}, 2 * kMega));
  EXPECT_TRUE(fits({.quota = 100 * kMega, .free = 3 * kMega, .total = 20 * kMega}, kMega));  // a small disk keeps a tenth
}

}  // namespace
}  // namespace safekit::lost
