#include "datapath/replica/sync_times.h"

#include <gtest/gtest.h>

namespace safekit::replica {

TEST(SyncTimes, TheOldestUnansweredOneOfTheConnectionCounts) {
  SyncTimes syncs;
  EXPECT_TRUE(syncs.empty());
  syncs.sent(3, MonoTime{30});
  syncs.sent(7, MonoTime{70});
  syncs.sent(9, MonoTime{90});
  EXPECT_EQ(syncs.oldest_after(0), MonoTime{30});
  EXPECT_EQ(syncs.oldest_after(3), MonoTime{70});
  syncs.durable(7);
  EXPECT_EQ(syncs.oldest_after(3), MonoTime{90});
  EXPECT_EQ(syncs.oldest_after(9), std::nullopt);
  syncs.released(8);
  EXPECT_EQ(syncs.oldest_after(0), MonoTime{90});
  syncs.durable(9);
  EXPECT_TRUE(syncs.empty());
}

}  // namespace safekit::replica
