#include "datapath/journal/zone_map.h"

#include <gtest/gtest.h>

#include <random>

#include "schema/base/digest.h"

namespace safekit::journal {
namespace {

TEST(ZoneMap, MarksEveryZoneTouched) {
  for (std::uint64_t first = 0; first < 140; first += 7) {
    for (std::uint64_t count = 1; count < 150; count += 13) {
      ZoneMap map{4096};
      map.mark("a", first * 4096 + 1, (count - 1) * 4096 + 1);
      ASSERT_EQ(map.zone_count(), count) << first;
      const auto& zones = map.inodes().at("a").zones;
      for (std::uint64_t zone = first; zone < first + count; ++zone) {
        ASSERT_NE(zones.at(zone / 64) & (1ULL << (zone % 64)), 0U);
      }
    }
  }
}

TEST(ZoneMap, HugeRangesAndOverflowStayBounded) {
  ZoneMap map{4096};
  map.mark("a", 0, UINT64_MAX);
  EXPECT_TRUE(map.inodes().at("a").whole);
  map.mark("b", UINT64_MAX - 1, 100);
  EXPECT_EQ(map.inodes().at("b").zones.size(), 1U);
  for (std::size_t i = 0; i <= ZoneMap::kInodesMax; ++i) map.inode(std::to_string(i)).entries = true;
  EXPECT_TRUE(map.overflown());
  EXPECT_TRUE(map.inodes().empty());
  EXPECT_FALSE(map.empty());
  map.clear();
  EXPECT_TRUE(map.empty());
}

TEST(ZoneMap, RoundTripTruncationAndMutation) {
  ZoneMap map{65536};
  map.mark("file", 70000, 200000);
  map.inode("dir").entries = true;
  map.inode("new").whole = true;
  map.inode("attr").attributes = true;
  ActiveInode active{.names = true, .trees = {"x", "y"}, .parent = "p", .name = "n"};
  active.groups.add(3, 70);
  active.groups.add(100, 0);
  map.add("doubtful", active);
  const Bytes bytes = map.encode({42});
  const auto back = ZoneMap::decode(bytes, {42});
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(*back, map);
  EXPECT_FALSE(ZoneMap::decode(bytes, {43}));
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(ZoneMap::decode(BytesView{bytes}.first(size), {42}));
  std::mt19937 random{1};
  for (int round = 0; round < 2000; ++round) {
    Bytes broken = bytes;
    const std::size_t at = random() % broken.size();
    broken[at] = static_cast<std::uint8_t>(broken[at] ^ (1U << (random() % 8)));
    EXPECT_FALSE(ZoneMap::decode(broken, {42}));
  }
}

TEST(ZoneMap, AnOlderFormatIsNotGuessedAt) {
  Bytes bytes = ZoneMap{65536}.encode({42});
  bytes[4] = 1;
  const std::uint32_t checksum = checksum32(BytesView{bytes}.first(bytes.size() - 4));
  for (std::size_t i = 0; i < 4; ++i) bytes[bytes.size() - 4 + i] = static_cast<std::uint8_t>(checksum >> (8 * i));
  EXPECT_FALSE(ZoneMap::decode(bytes, {42}));
}

TEST(ZoneMap, ZonesThatNoFileCanHaveAreDamage) {
  constexpr std::uint32_t kZoneBytes = 65536;
  const auto is_read = [](std::uint64_t group, std::uint64_t doubtful) {
    ZoneMap map{kZoneBytes};
    InodeMarks& marks = map.inode("a");
    marks.zones[group] = 1;
    marks.doubtful.words[doubtful] = 1;
    return ZoneMap::decode(map.encode({42}), {42}).has_value();
  };
  constexpr std::uint64_t kGroupMax = UINT64_MAX / kZoneBytes / 64;
  constexpr std::uint64_t kWordMax = kGroupsOfOneMax / 64 - 1;
  EXPECT_TRUE(is_read(kGroupMax, kWordMax));
  EXPECT_FALSE(is_read(kGroupMax + 1, kWordMax));
  EXPECT_FALSE(is_read(kGroupMax, kWordMax + 1));
  EXPECT_FALSE(is_read(UINT64_MAX, UINT64_MAX));
}

TEST(ZoneMap, MergedMarksSayWhatBothSay) {
  ZoneMap map{65536};
  map.mark("a", 0, 1);
  ZoneMap other{65536};
  other.mark("a", 65536, 1);
  other.inode("b").whole = true;
  ActiveInode active{.names = true};
  active.groups.add(1, 1);
  other.add("a", active);
  map.merge(other);
  EXPECT_EQ(map.inodes().at("a").zones.at(0), 3U);
  EXPECT_TRUE(map.inodes().at("a").children);
  EXPECT_TRUE(map.inodes().at("a").doubtful.contains(1));
  EXPECT_TRUE(map.inodes().at("b").whole);
  other.set_overflown();
  map.merge(other);
  EXPECT_TRUE(map.overflown());
}

}  // namespace
}  // namespace safekit::journal
