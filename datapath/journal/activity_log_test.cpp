#include "datapath/journal/activity_log.h"

#include <gtest/gtest.h>

#include "schema/base/digest.h"

namespace safekit::journal {
namespace {

using Kind = ActivityEntry::Kind;
constexpr SegmentHead kHead{.id = 7, .number = 3, .from = 2, .zone_bytes = 65536};

std::vector<ActivityEntry> some_entries() {
  return {{.kind = Kind::Attributes, .key = "file-1", .parent = "directory", .name = "a"},
          {.kind = Kind::Groups, .key = "file-1", .parent = "directory", .name = "a", .first = 5, .count = 3},
          {.kind = Kind::Groups, .key = "file-2", .first = 100, .count = 0},
          {.kind = Kind::Names, .key = "directory"},
          {.kind = Kind::Tree, .key = "directory", .name = std::string(255, 'x')},
          {.kind = Kind::Tree, .key = std::string(kKeyBytesMax, 'k'), .name = "\xff\n"}};
}

std::vector<ActivityEntry> many_entries(int count) {
  std::vector<ActivityEntry> entries;
  for (int i = 0; i < count; ++i) {
    entries.push_back({.kind = Kind::Groups, .key = fmt::format("file-{}", i), .parent = "d", .name = "n", .first = 1, .count = 1});
  }
  return entries;
}

Bytes whole(Bytes blocks) {
  blocks.resize((blocks.size() + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
  return blocks;
}

Activity activity_of(std::span<const ActivityEntry> entries) {
  Activity activity;
  for (const ActivityEntry& entry : entries) activity.add(entry);
  return activity;
}

TEST(GroupSet, AddsGroupsOnceAndJoinsTheTail) {
  GroupSet set;
  EXPECT_TRUE(set.add(62, 4));
  EXPECT_FALSE(set.add(63, 2));
  EXPECT_TRUE(set.contains(65));
  EXPECT_FALSE(set.contains(66));
  EXPECT_TRUE(set.add(64, 0));
  EXPECT_FALSE(set.add(70, 0));
  EXPECT_FALSE(set.add(1000, 10));
  EXPECT_TRUE(set.contains(UINT64_MAX));
  EXPECT_EQ(set.words.size(), 1U);
  EXPECT_TRUE(set.add(kGroupsOfOneMax - 1, 2) == false);
}

TEST(GroupSet, HasExactlyWhatWasAdded) {
  for (const std::uint64_t tail : {std::uint64_t{0}, std::uint64_t{100}, UINT64_MAX}) {
    for (const std::uint64_t first : {0, 1, 63, 64, 130}) {
      for (const std::uint64_t count : {1, 2, 63, 64, 65, 128, 200}) {
        GroupSet set;
        if (tail != UINT64_MAX) set.add(tail, 0);
        EXPECT_EQ(set.add(first, count), first < tail);
        EXPECT_FALSE(set.add(first, count));
        for (std::uint64_t group = 0; group < 400; ++group) {
          EXPECT_EQ(set.contains(group), group >= tail || (group >= first && group < first + count)) << group;
        }
      }
    }
  }
}

TEST(GroupSet, BeyondItsBoundAllToTheEndIsInIt) {
  GroupSet set;
  EXPECT_TRUE(set.add(kGroupsOfOneMax - 1, 2));
  EXPECT_EQ(set.from, kGroupsOfOneMax - 1);
  GroupSet other;
  other.add(3, 1);
  set.merge(other);
  EXPECT_TRUE(set.contains(3));
  EXPECT_FALSE(set.contains(4));
}

TEST(ActivityLog, WhatIsWrittenIsRead) {
  const auto entries = some_entries();
  const auto segment = decode_segment(whole(encode_blocks(kHead, 0, entries)));
  ASSERT_TRUE(segment) << segment.error().what;
  EXPECT_EQ(segment->head, kHead);
  EXPECT_EQ(segment->activity, activity_of(entries));
  EXPECT_EQ(segment->activity, activity_of(segment->activity.list()));
  EXPECT_TRUE(decode_segment(whole(encode_blocks(kHead, 0, {})))->activity.empty());
}

TEST(ActivityLog, AnEntryTooLongForABlockLosesOnlyItsPlace) {
  const ActivityEntry entry{.kind = Kind::Attributes, .key = std::string(kKeyBytesMax, 'k'),
                            .parent = std::string(kKeyBytesMax, 'p'), .name = std::string(255, 'n')};
  const auto segment = decode_segment(whole(encode_blocks(kHead, 0, {&entry, 1})));
  ASSERT_TRUE(segment);
  ASSERT_EQ(segment->activity.inodes.size(), 1U);
  EXPECT_TRUE(segment->activity.inodes.at(entry.key).attributes);
  EXPECT_TRUE(segment->activity.inodes.at(entry.key).name.empty());
}

TEST(ActivityLog, EveryFlippedBitIsSeen) {
  const Bytes good = whole(encode_blocks(kHead, 0, some_entries()));
  const std::size_t written = encode_blocks(kHead, 0, some_entries()).size();
  for (std::size_t bit = 0; bit < (written + kBlockBytes) * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(decode_segment(bad)) << bit;  // also in what was not written yet
  }
}

// Power may be lost while a batch is written: any of its blocks may be there or not. None before it may be missing.
TEST(ActivityLog, OnlyTheLastBatchMayBeTorn) {
  const auto first = many_entries(200);
  const auto second = some_entries();
  const Bytes begin = encode_blocks(kHead, 0, first);
  const auto count = static_cast<std::uint32_t>(begin.size() / kBlockBytes);
  ASSERT_GT(count, 5U);
  const Bytes batch = encode_blocks(kHead, count, second);
  const std::size_t pieces = batch.size() / kBlockBytes;
  ASSERT_GT(pieces, 1U);
  for (unsigned there = 0; there < 1U << pieces; ++there) {
    Bytes file = begin;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      Bytes block(kBlockBytes);
      if ((there >> piece & 1) != 0) std::copy_n(batch.begin() + static_cast<std::ptrdiff_t>(piece * kBlockBytes), kBlockBytes, block.begin());
      file.insert(file.end(), block.begin(), block.end());
    }
    const auto segment = decode_segment(whole(file));
    ASSERT_TRUE(segment) << there;
    for (const ActivityEntry& entry : first) EXPECT_TRUE(segment->activity.inodes.contains(entry.key));
    // One that is lost before the batch is found out as soon as it can have mattered.
    Bytes damaged = whole(file);
    std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>((count - 1) * kBlockBytes), kBlockBytes, std::uint8_t{0});
    EXPECT_FALSE(decode_segment(damaged)) << there;
  }
}

TEST(ActivityLog, AnotherLengthIsDamage) {
  const Bytes good = whole(encode_blocks(kHead, 0, many_entries(3000)));
  ASSERT_GT(good.size(), kChunkBytes);
  for (std::size_t size = 0; size < good.size(); size += kBlockBytes / 2) {
    EXPECT_FALSE(decode_segment(BytesView{good}.first(size))) << size;
  }
}

TEST(ActivityLog, ANewerFormatIsRefusedByNumber) {
  Bytes file = whole(encode_blocks(kHead, 0, {}));
  file[8] = 9;
  const std::uint32_t checksum = checksum32(BytesView{file}.subspan(4, kBlockBytes - 4));
  for (std::size_t i = 0; i < 4; ++i) file[i] = static_cast<std::uint8_t>(checksum >> (8 * i));
  const auto segment = decode_segment(file);
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, Code::Unsupported);
}

TEST(ActivityLog, BlocksOfAnotherFileAreDamage) {
  Bytes file = encode_blocks(kHead, 0, {});
  SegmentHead other = kHead;
  other.number = 5;
  const Bytes block = encode_blocks(other, 1, some_entries());
  file.insert(file.end(), block.begin(), block.end());
  EXPECT_FALSE(decode_segment(whole(file)));
}

TEST(Activity, BeyondItsBoundItIsEverything) {
  Activity activity;
  for (std::size_t i = 0; i < Activity::kEntriesMax; ++i) {
    ASSERT_TRUE(activity.add({.kind = Kind::Tree, .key = "d", .name = std::to_string(i)}));
  }
  EXPECT_FALSE(activity.everything);
  EXPECT_TRUE(activity.add({.kind = Kind::Names, .key = "d"}));
  EXPECT_TRUE(activity.everything);
  EXPECT_FALSE(activity.add({.kind = Kind::Names, .key = "e"}));
  Activity other = activity_of(some_entries());
  other.merge(activity);
  EXPECT_TRUE(other.everything);
}

TEST(LogPoint, ALogReachesWhatItIsCompleteSince) {
  EXPECT_TRUE(reaches({1, 5}, {1, 5}));
  EXPECT_TRUE(reaches({1, 5}, {1, 6}));
  EXPECT_FALSE(reaches({1, 5}, {1, 4}));
  EXPECT_FALSE(reaches({1, 5}, {2, 5}));
  EXPECT_FALSE(reaches({0, 0}, {0, 0}));
}

}  // namespace
}  // namespace safekit::journal
