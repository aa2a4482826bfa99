#include "datapath/journal/journal.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "datapath/journal/record.h"

namespace safekit::journal {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/journal-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_{};
};

State full_state() {
  return {.generations = {{3}, {2}, {{2}, {1}}}, .peer = "b", .up_to_date = true, .inconsistent = true,
          .ever_synchronised = true, .last_primary = true, .exact = true, .exact_in_boot = "boot", .base_log = {5, 6},
          .own_log = {7, 8},
          .watched = {.until = 9, .setting = -10, .boot = "other", .left = true, .unsettled = true}, .full_wanted = true, .since = 11,
          .backup = "uid", .policy = 12, .kept = State::Kept::Returning};
}

TEST_F(JournalTest, RulesAreKeptAndADamageIsOtherRules) {
  Journal journal{directory_};
  ASSERT_TRUE(journal.open());
  EXPECT_EQ(*journal.rules(), 0U);
  ASSERT_TRUE(journal.keep_rules(77));
  EXPECT_EQ(*journal.rules(), 77U);
  std::ofstream{directory_ + "/rules", std::ios::app} << "x";
  EXPECT_NE(*journal.rules(), 77U);
  EXPECT_NE(*journal.rules(), 0U);
}

TEST_F(JournalTest, RemembersAcrossOpen) {
  {
    Journal journal{directory_ + "/new/deep"};
    ASSERT_TRUE(journal.open());
    EXPECT_EQ(journal.state(), State{});
    ASSERT_TRUE(journal.update([](State& state) { state = full_state(); }));
  }
  Journal journal{directory_ + "/new/deep"};
  ASSERT_TRUE(journal.open());
  EXPECT_EQ(journal.state(), full_state());
}

TEST_F(JournalTest, ReadsTheFormatsBefore) {
  const Bytes now = encode(full_state());
  constexpr std::size_t kFourth = 1;             // the kept copy
  constexpr std::size_t kThird = 8 + 4 + 3 + 8;  // what a person chose
  constexpr std::size_t kSecond = 32 + 27;       // the two points of the logs and what was watched
  State expected = full_state();
  expected.kept = State::Kept::None;
  auto state = decode_state(seal_record(0x4a4b5253, 3, BytesView{now}.subspan(16, now.size() - 20 - kFourth)));
  ASSERT_TRUE(state) << state.error().what;
  EXPECT_EQ(*state, expected);
  expected.since = 0;
  expected.backup.clear();
  expected.policy = 0;
  state = decode_state(seal_record(0x4a4b5253, 2, BytesView{now}.subspan(16, now.size() - 20 - kFourth - kThird)));
  ASSERT_TRUE(state) << state.error().what;
  EXPECT_EQ(*state, expected);
  state = decode_state(seal_record(0x4a4b5253, 1, BytesView{now}.subspan(16, now.size() - 20 - kFourth - kThird - kSecond)));
  ASSERT_TRUE(state) << state.error().what;
  expected.base_log = expected.own_log = {};
  expected.watched = {};
  EXPECT_EQ(*state, expected);
}

TEST_F(JournalTest, EachWriteTakesTheRoomOfTheOneBefore) {
  const auto inode = [this](const char* name) {
    struct stat st {};
    EXPECT_EQ(::stat((directory_ + name).c_str(), &st), 0) << name;
    return st.st_ino;
  };
  {
    Journal journal{directory_};
    ASSERT_TRUE(journal.open());
    ASSERT_TRUE(journal.update([](State& state) { state.peer = "b"; }));
    const ino_t first = inode("/journal");
    const ino_t room = inode("/journal.new");
    ASSERT_TRUE(journal.update([](State& state) { state.peer = "a longer name"; }));
    EXPECT_EQ(inode("/journal"), room);
    EXPECT_EQ(inode("/journal.new"), first);
    ASSERT_TRUE(journal.update([](State& state) { state.peer = "c"; }));
    EXPECT_EQ(inode("/journal"), first);
  }
  std::filesystem::remove(directory_ + "/journal.new");  // as a release before this one left it
  Journal journal{directory_};
  ASSERT_TRUE(journal.open());
  EXPECT_EQ(journal.state().peer, "c");
  EXPECT_NE(inode("/journal.new"), 0U);
}

TEST_F(JournalTest, WhatCannotBeWrittenLeavesTheOldOneAndNoHalf) {
  Journal journal{directory_};
  ASSERT_TRUE(journal.open());
  ASSERT_TRUE(journal.update([](State& state) { state.peer = "b"; }));
  std::filesystem::remove(directory_ + "/journal.new");
  std::filesystem::create_directory(directory_ + "/journal.new");
  EXPECT_FALSE(journal.update([](State& state) { state.peer = "c"; }));
  EXPECT_EQ(journal.state().peer, "b");
  std::filesystem::remove(directory_ + "/journal.new");
  ASSERT_TRUE(journal.update([](State& state) { state.peer = "c"; }));
  EXPECT_EQ(journal.state().peer, "c");
}

TEST_F(JournalTest, RefusesASecondReplicaAndANewerVersion) {
  {
    Journal journal{directory_};
    ASSERT_TRUE(journal.open());
    ASSERT_TRUE(journal.update([](State& state) { state.up_to_date = true; }));
    Journal second{directory_};
    const auto status = second.open();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::Conflict);
  }
  std::fstream file{directory_ + "/journal", std::ios::in | std::ios::out | std::ios::binary};
  file.seekp(4);
  file.put(99);
  file.close();
  Journal journal{directory_};
  const auto status = journal.open();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Unsupported);
}

TEST_F(JournalTest, ZonesAreUsedOnceAndOnlyForTheirGeneration) {
  Journal journal{directory_};
  ASSERT_TRUE(journal.open());
  ASSERT_TRUE(journal.update([](State& state) { state.generations.current = {5}; }));
  ZoneMap map;
  map.mark("x", 1, 2);
  ASSERT_TRUE(journal.save_zones(map));
  auto taken = journal.take_zones();
  ASSERT_TRUE(taken && taken->has_value());
  EXPECT_EQ(**taken, map);
  taken = journal.take_zones();
  ASSERT_TRUE(taken);
  EXPECT_FALSE(taken->has_value());
  ASSERT_TRUE(journal.save_zones(map));
  ASSERT_TRUE(journal.update([](State& state) { state.generations.current = {6}; }));
  taken = journal.take_zones();
  ASSERT_TRUE(taken);
  EXPECT_FALSE(taken->has_value());
}

TEST(JournalState, TruncatedOrMutatedIsRefused) {
  const Bytes bytes = encode(full_state());
  ASSERT_TRUE(decode_state(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_state(BytesView{bytes}.first(size)));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes broken = bytes;
    broken[bit / 8] = static_cast<std::uint8_t>(broken[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(decode_state(broken));
  }
}

}  // namespace
}  // namespace safekit::journal
