#include "datapath/replica/unsynced_attributes.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

/// As after the first checkpoint of a connection.
struct UnsyncedAttributesTest : testing::Test {
  UnsyncedAttributesTest() { unsynced.all_synced(unsynced.begin_sync_all()); }
  UnsyncedAttributes unsynced;
};

TEST(UnsyncedAttributes, NothingIsKnownBeforeAllWasSyncedOnce) {
  UnsyncedAttributes unsynced;
  EXPECT_TRUE(unsynced.take({1}));
  EXPECT_TRUE(unsynced.take({1}));
  const std::uint64_t all = unsynced.begin_sync_all();
  EXPECT_TRUE(unsynced.take({1})) << "begun is not done";
  unsynced.all_synced(all);
  EXPECT_FALSE(unsynced.take({1}));
  unsynced.forget();
  EXPECT_TRUE(unsynced.take({1})) << "another connection";
}

TEST_F(UnsyncedAttributesTest, AChangeAsksForOneWholeSync) {
  unsynced.changed({1});
  EXPECT_FALSE(unsynced.take({2}));
  EXPECT_TRUE(unsynced.take({1}));
  EXPECT_FALSE(unsynced.take({1}));
}

TEST_F(UnsyncedAttributesTest, ASyncOfAllCoversWhatWasChangedBeforeIt) {
  unsynced.changed({1});
  const std::uint64_t first = unsynced.begin_sync_all();
  unsynced.changed({2});
  unsynced.all_synced(first);
  EXPECT_FALSE(unsynced.take({1}));
  EXPECT_TRUE(unsynced.take({2}));
}

TEST_F(UnsyncedAttributesTest, AnEarlierSyncOfAllDoesNotCoverALaterOne) {
  const std::uint64_t first = unsynced.begin_sync_all();
  unsynced.changed({1});
  const std::uint64_t second = unsynced.begin_sync_all();
  unsynced.all_synced(first);
  unsynced.all_synced(first);
  EXPECT_TRUE(unsynced.take({1}));
  unsynced.changed({3});
  unsynced.all_synced(second);
  EXPECT_TRUE(unsynced.take({3}));
}

TEST_F(UnsyncedAttributesTest, WhatNoSyncAsksForIsNotKept) {
  unsynced.changed({1});
  unsynced.all_synced(unsynced.begin_sync_all());
  (void)unsynced.begin_sync_all();
  EXPECT_FALSE(unsynced.take({1})) << "it would be kept for ever, with every file that is ever made";
}

TEST_F(UnsyncedAttributesTest, SyncsOfAllThatNeverEndKeepNoMore) {
  for (std::uint64_t id = 0; id <= UnsyncedAttributes::kMax; ++id) {
    unsynced.changed({id});
    if (id % 1000 == 0) (void)unsynced.begin_sync_all();
  }
  (void)unsynced.begin_sync_all();
  EXPECT_TRUE(unsynced.take({UnsyncedAttributes::kMax + 7}));
  unsynced.all_synced(unsynced.begin_sync_all());
  EXPECT_FALSE(unsynced.take({1}));
}

TEST_F(UnsyncedAttributesTest, WhatIsTooMuchIsAskedOfAll) {
  for (std::uint64_t id = 0; id <= UnsyncedAttributes::kMax; ++id) unsynced.changed({id});
  EXPECT_TRUE(unsynced.take({UnsyncedAttributes::kMax + 7}));
  unsynced.all_synced(unsynced.begin_sync_all());
  EXPECT_FALSE(unsynced.take({UnsyncedAttributes::kMax + 7}));
}

}  // namespace
}  // namespace safekit::replica
