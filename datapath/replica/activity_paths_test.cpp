#include "datapath/replica/activity_paths.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

TEST(ActivityPaths, WhatAPeerTouchedIsNeverLessThanItSays) {
  for (const std::uint64_t word : {std::uint64_t{0}, journal::kGroupsOfOneMax / 64 - 1, journal::kGroupsOfOneMax / 64, std::uint64_t{1} << 40,
                                   UINT64_MAX / 64}) {
    const journal::ActiveInode active = to_active({.groups = {{word, 1ULL << 5}}});
    EXPECT_TRUE(active.groups.contains(word * 64 + 5)) << word;
  }
  EXPECT_FALSE(to_active({.groups = {{3, 1}}}).groups.contains(3 * 64 + 1));
  EXPECT_FALSE(to_active({.groups = {{UINT64_MAX, 1}}}).groups.empty());
}

}  // namespace
}  // namespace safekit::replica
