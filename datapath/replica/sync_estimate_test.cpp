#include "datapath/replica/sync_estimate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "datapath/replica/handle.h"
#include "datapath/replica/played_peer.h"

namespace safekit::replica {
namespace {

constexpr std::uint32_t kZone = 1024;
constexpr std::uint64_t kGroup = 64 * kZone;

SyncEstimate of(const journal::InodeMarks& marks, std::uint32_t mode, std::uint64_t size) {
  SyncEstimate estimate;
  add_marks(estimate, marks, {.mode = mode, .size = size}, kZone);
  return estimate;
}

TEST(SyncEstimate, MarkedZonesUpToTheEndOfTheFile) {
  const journal::InodeMarks marks{.zones = {{0, 0b101}, {1, ~0ULL}}};
  EXPECT_EQ(of(marks, S_IFREG, 10 * kGroup), (SyncEstimate{.files = 1, .bytes = 66 * kZone}));
  EXPECT_EQ(of(marks, S_IFREG, kGroup + 10), (SyncEstimate{.files = 1, .bytes = 2 * kZone + 10}));
  EXPECT_EQ(of(marks, S_IFREG, 2 * kZone + 5), (SyncEstimate{.files = 1, .bytes = kZone + 5}));
  EXPECT_EQ(of(marks, S_IFREG, 0), (SyncEstimate{.files = 1}));
}

TEST(SyncEstimate, ANewFileIsCopiedWhole) {
  EXPECT_EQ(of({.whole = true, .zones = {{0, 1}}}, S_IFREG, 5000), (SyncEstimate{.files = 1, .bytes = 5000}));
  EXPECT_EQ(of({.whole = true}, S_IFLNK, 7), (SyncEstimate{.files = 1}));
}

TEST(SyncEstimate, WhatALogDoubtsIsComparedOnly) {
  journal::InodeMarks marks{};
  marks.doubtful = {.words = {{0, 0b11}}, .from = 1};
  EXPECT_EQ(of(marks, S_IFREG, 3 * kGroup), (SyncEstimate{.files = 1, .compared = 3 * kGroup}));
  marks.doubtful.from = UINT64_MAX;
  EXPECT_EQ(of(marks, S_IFREG, kGroup + 1), (SyncEstimate{.files = 1, .compared = kGroup + 1}));
}

TEST(SyncEstimate, DirectoriesAreListed) {
  EXPECT_EQ(of({.entries = true}, S_IFDIR, 4096), (SyncEstimate{.directories = 1}));
  EXPECT_EQ(of({.entries = true, .whole = true}, S_IFDIR, 4096), (SyncEstimate{.directories = 1, .compares_more = true}));
  EXPECT_EQ(of({.children = true}, S_IFDIR, 4096), (SyncEstimate{.directories = 1, .compares_more = true}));
}

TEST(SyncEstimate, EndsWhenItIsToldTo) {
  OneRoot inodes{"."};
  TreeOrder order;
  journal::ZoneMap map{kZone};
  for (const std::uint8_t number : std::initializer_list<std::uint8_t>{1, 2, 3}) map.inode(to_key({0, 1, {number}})).entries = true;
  int asked = 0;
  const auto ended = estimate_sync(map, inodes, order, [&] {
    return ++asked < 3 ? Status{} : Status{Error{Code::Unavailable, "the role is left"}};
  });
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().what, "the role is left");
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(estimate_sync(map, inodes, order, [] { return Status{}; })->directories, 3U);
}

}  // namespace
}  // namespace safekit::replica
