#include "datapath/journal/activity_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace safekit::journal {
namespace {

using Kind = ActivityEntry::Kind;
constexpr std::uint32_t kZone = 65536;

ActivityEntry names_of(const std::string& key) { return {.kind = Kind::Names, .key = key}; }

class ActivityFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/activity-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::set<std::string> keys(const LogPoint& expected) const {
    const auto found = ActivityFile::read(directory_, expected, kZone);
    if (!found) return {"unusable"};
    std::set<std::string> all;
    for (const auto& [key, inode] : found->inodes) all.insert(key);
    return all;
  }
  static void add(ActivityFile& file, const std::string& key) {
    const ActivityEntry entry = names_of(key);
    ASSERT_TRUE(file.append({&entry, 1}));
  }
  std::string directory_{};
};

TEST_F(ActivityFileTest, WhatWasAppendedIsThereAfterACrash) {
  ActivityFile file{directory_, kZone};
  ASSERT_TRUE(file.create(7));
  EXPECT_EQ(file.point(), (LogPoint{7, 1}));
  for (int i = 0; i < 400; ++i) add(file, std::to_string(i));  // beyond the first chunk
  EXPECT_EQ(keys({7, 1}).size(), 400U);
  EXPECT_EQ(keys({8, 1}), std::set<std::string>{"unusable"});
}

TEST_F(ActivityFileTest, TheOldFileIsNeededUntilTheCheckpointIsConfirmed) {
  ActivityFile file{directory_, kZone};
  ASSERT_TRUE(file.create(7));
  add(file, "a");
  ASSERT_TRUE(file.rotate());
  add(file, "b");
  EXPECT_EQ(file.point(), (LogPoint{7, 1}));
  EXPECT_EQ(keys({7, 1}), (std::set<std::string>{"a", "b"}));
  // The journal is written before the old file goes.
  EXPECT_EQ(keys({7, 2}), (std::set<std::string>{"b"}));
  ASSERT_TRUE(file.drop_old());
  EXPECT_EQ(file.point(), (LogPoint{7, 2}));
  EXPECT_EQ(keys({7, 2}), (std::set<std::string>{"b"}));
  EXPECT_EQ(keys({7, 1}), std::set<std::string>{"unusable"});
}

TEST_F(ActivityFileTest, ResumesWithAllOfBothFilesInOne) {
  {
    ActivityFile file{directory_, kZone};
    ASSERT_TRUE(file.create(7));
    add(file, "a");
    ASSERT_TRUE(file.rotate());
    add(file, "b");
  }
  ActivityFile file{directory_, kZone};
  const auto found = file.resume({7, 1});
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->inodes.size(), 2U);
  EXPECT_EQ(file.point(), (LogPoint{7, 1}));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/activity.0"));
  add(file, "c");
  ASSERT_TRUE(file.rotate());
  EXPECT_GT(file.number(), 2U);  // a number that the peer may have heard is not used for another checkpoint
  add(file, "d");
  EXPECT_EQ(keys({7, 1}), (std::set<std::string>{"a", "b", "c", "d"}));
}

TEST_F(ActivityFileTest, AMissingOrDamagedFileIsToldAndNeverSkipped) {
  ActivityFile file{directory_, kZone};
  ASSERT_TRUE(file.create(7));
  add(file, "a");
  ASSERT_TRUE(file.rotate());
  add(file, "b");
  const std::string old = directory_ + "/activity.1";
  std::filesystem::rename(old, directory_ + "/away");
  EXPECT_EQ(keys({7, 1}), std::set<std::string>{"unusable"});
  std::filesystem::rename(directory_ + "/away", old);
  EXPECT_EQ(keys({7, 1}), (std::set<std::string>{"a", "b"}));
  std::fstream bytes{old, std::ios::in | std::ios::out | std::ios::binary};
  bytes.seekp(100);
  bytes.put('?');
  bytes.close();
  EXPECT_EQ(keys({7, 1}), std::set<std::string>{"unusable"});
  EXPECT_FALSE(ActivityFile::read(directory_, {7, 1}, kZone * 2));
  ActivityFile::remove(directory_);
  EXPECT_EQ(keys({7, 1}), std::set<std::string>{"unusable"});
}

}  // namespace
}  // namespace safekit::journal
