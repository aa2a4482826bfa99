#include "datapath/replica/activity_tracker.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <future>
#include <thread>

#include "datapath/replica/handle.h"
#include "schema/fake/kept_log.h"
#include "schema/fake/seeded_random.h"

namespace safekit::replica {
namespace {

constexpr std::uint32_t kZone = 65536;
constexpr std::uint64_t kGroup = 64 * std::uint64_t{kZone};
using What = Change::What;

FileHandle handle(InodeId id) { return {0, 1, {static_cast<std::uint8_t>(id.value)}}; }

class NumberedInodes final : public Inodes {
 public:
  [[nodiscard]] std::uint32_t root_count() const override { return 1; }
  [[nodiscard]] InodeId root_id(std::uint32_t) const override { return {1}; }
  Result<wire::TreePath> path_of(InodeId) override { return wire::TreePath{}; }
  Result<InodeId> pin(InodeId, const std::string&) override { return Error{Code::NotFound, "none"}; }
  Result<InodeId> pin(const FileHandle&) override { return Error{Code::NotFound, "none"}; }
  void unpin(InodeId) override {}
  Result<FileHandle> handle_of(InodeId id) override {
    if (id.value == 99) return Error{Code::NotFound, "gone"};
    if (id.value == 98) return Error{Code::Unsupported, "no handles"};
    return handle(id);
  }
  Result<EntryPlace> place_of(InodeId) override { return EntryPlace{handle({1}), "name"}; }
  Result<int> open(InodeId, int) override { return Error{Code::NotFound, "none"}; }
};

class ActivityTrackerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/tracker-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    journal_ = std::make_unique<journal::Journal>(directory_);
    ASSERT_TRUE(journal_->open());
    open();
  }
  void TearDown() override {
    tracker_.reset();
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    tracker_ = std::make_unique<ActivityTracker>(*journal_, log_, kZone);
    ASSERT_TRUE(tracker_->open(random_));
  }
  void touch(const Change& change) {
    std::uint32_t ticket = 0;
    EXPECT_TRUE(tracker_->begin(inodes_, {&change, 1}, ticket));
    tracker_->end(ticket);
  }
  /// What a crash would leave.
  journal::Activity on_disk() {
    const auto found = journal::ActivityFile::read(directory_, journal_->state().own_log, kZone);
    EXPECT_TRUE(found);
    return found ? *found : journal::Activity{};
  }
  [[nodiscard]] const journal::ActiveInode& inode(const journal::Activity& activity, std::uint64_t id) {
    return activity.inodes.at(to_key(handle({id})));
  }

  std::string directory_{};
  std::unique_ptr<journal::Journal> journal_{};
  fake::KeptLog log_{};
  fake::SeededRandom random_{1};
  NumberedInodes inodes_{};
  std::unique_ptr<ActivityTracker> tracker_{};
};

TEST_F(ActivityTrackerTest, WhatIsTouchedIsOnDiskBefore) {
  touch({.what = What::Content, .id = {5}, .offset = kGroup - 1, .size = 2});
  touch({.what = What::Tail, .id = {6}, .offset = 3 * kGroup});
  touch({.what = What::Names, .id = {1}});
  touch({.what = What::Tree, .id = {1}, .name = "d"});
  touch({.what = What::Attributes, .id = {7}});
  const journal::Activity found = on_disk();
  EXPECT_TRUE(inode(found, 5).groups.contains(0));
  EXPECT_TRUE(inode(found, 5).groups.contains(1));
  EXPECT_FALSE(inode(found, 5).groups.contains(2));
  EXPECT_EQ(inode(found, 5).name, "name");
  EXPECT_EQ(inode(found, 6).groups.from, 3U);
  EXPECT_TRUE(inode(found, 1).names);
  EXPECT_TRUE(inode(found, 1).trees.contains("d"));
  EXPECT_TRUE(inode(found, 7).attributes);
  EXPECT_EQ(found, tracker_->activity());
}

TEST_F(ActivityTrackerTest, WhatIsNotedIsNotWrittenAgain) {
  const Change change{.what = What::Content, .id = {5}, .offset = 0, .size = 4096};
  touch(change);
  touch({.what = What::Attributes, .id = {5}});
  touch({.what = What::Content, .id = {5}, .offset = kGroup - 4096, .size = 4096});
  EXPECT_EQ(tracker_->entries(), 1U);
  tracker_->forget({5});
  touch(change);
  EXPECT_EQ(tracker_->entries(), 1U);
}

TEST_F(ActivityTrackerTest, ASequentialWriterWaitsEverMoreRarely) {
  std::size_t most = 0;
  for (std::uint64_t group = 0; group < 512; ++group) {
    touch({.what = What::Content, .id = {5}, .offset = group * kGroup, .size = 4096});
    most = std::max(most, tracker_->entries());
  }
  EXPECT_LT(most, 20U);
  touch({.what = What::Content, .id = {6}, .offset = 40 * kGroup, .size = 1});
  touch({.what = What::Content, .id = {6}, .offset = 10 * kGroup, .size = 1});
  EXPECT_EQ(inode(on_disk(), 6).groups.words.size(), 1U);
  EXPECT_FALSE(inode(on_disk(), 6).groups.contains(11));
}

TEST_F(ActivityTrackerTest, WhatIsNewInANotedPlaceNeedsNoNoteOfItsOwn) {
  touch({.what = What::Names, .id = {1}});
  tracker_->created({5}, {1}, "file", false);
  touch({.what = What::Content, .id = {5}, .offset = 0, .size = 1});
  tracker_->created({6}, {1}, "directory", true);  // its entry was not noted
  touch({.what = What::Names, .id = {6}});
  EXPECT_EQ(tracker_->entries(), 2U);
  touch({.what = What::Tree, .id = {1}, .name = "tree"});
  tracker_->created({7}, {1}, "tree", true);
  tracker_->created({8}, {7}, "below", true);
  touch({.what = What::Names, .id = {8}});
  touch({.what = What::Tree, .id = {8}, .name = "x"});
  EXPECT_EQ(tracker_->entries(), 3U);
  // In the next interval they are like any other.
  const auto point = tracker_->rotate();
  ASSERT_TRUE(point);
  touch({.what = What::Content, .id = {5}, .offset = 0, .size = 1});
  tracker_->created({9}, {1}, "late", false);
  touch({.what = What::Attributes, .id = {9}});
  EXPECT_EQ(tracker_->entries(), 5U);
}

TEST_F(ActivityTrackerTest, ACheckpointForgetsWhatWasNotedBeforeIt) {
  touch({.what = What::Attributes, .id = {5}});
  const auto point = tracker_->rotate();
  ASSERT_TRUE(point);
  touch({.what = What::Attributes, .id = {6}});
  tracker_->await_older();
  EXPECT_EQ(on_disk().inodes.size(), 2U);
  EXPECT_EQ(*tracker_->rotate(), *point);  // not confirmed: the same again
  ASSERT_TRUE(tracker_->confirm(*point));
  EXPECT_EQ(tracker_->point(), *point);
  EXPECT_EQ(on_disk().inodes.size(), 1U);
  EXPECT_EQ(tracker_->entries(), 1U);
  open();
  EXPECT_EQ(tracker_->entries(), 1U);
  EXPECT_EQ(tracker_->point(), *point);
}

TEST_F(ActivityTrackerTest, ACheckpointWaitsForCallsThatReliedOnOlderNotes) {
  const Change change{.what = What::Attributes, .id = {5}};
  std::uint32_t ticket = 0;
  ASSERT_TRUE(tracker_->begin(inodes_, {&change, 1}, ticket));
  ASSERT_TRUE(tracker_->rotate());
  auto waits = std::async(std::launch::async, [this] { tracker_->await_older(); });
  touch(change);  // noted anew; nobody waits for it
  EXPECT_EQ(tracker_->entries(), 2U);
  EXPECT_EQ(waits.wait_for(std::chrono::milliseconds{50}), std::future_status::timeout);
  tracker_->end(ticket);
  waits.get();
}

TEST_F(ActivityTrackerTest, ManyCallsAtOnceAreAllOnDisk) {
  std::vector<std::jthread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      for (std::uint64_t i = 0; i < 50; ++i) touch({.what = What::Attributes, .id = {thread % 2 * 100 + i + 2}});
    });
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(tracker_->rotate());
  threads.clear();
  EXPECT_EQ(on_disk().inodes.size(), 100U);
}

TEST_F(ActivityTrackerTest, ALogThatCannotBeWrittenIsGivenUpInTheJournalFirst) {
  ASSERT_TRUE(journal_->update([](journal::State& state) { state.base_log = {3, 4}; }));
  touch({.what = What::Attributes, .id = {99}});  // gone: nothing to note
  EXPECT_NE(tracker_->point().id, 0U);
  touch({.what = What::Attributes, .id = {98}});
  EXPECT_EQ(tracker_->point().id, 0U);
  EXPECT_EQ(journal_->state().own_log, journal::LogPoint{});
  EXPECT_EQ(journal_->state().base_log, journal::LogPoint{});
  EXPECT_FALSE(tracker_->rotate());
  open();
  EXPECT_NE(tracker_->point().id, 0U);  // a new one with the next role
}

TEST_F(ActivityTrackerTest, ALogThatTheDiskRefusedIsBegunAnewWhenAllCallsWithoutOneAreOver) {
  EXPECT_FALSE(*tracker_->begin_anew(77)) << "there is one";
  const Change change{.what = What::Attributes, .id = {5}};
  touch(change);
  std::filesystem::create_directory(directory_ + "/activity.0.new");
  EXPECT_FALSE(tracker_->rotate());
  EXPECT_EQ(journal_->state().own_log, journal::LogPoint{});
  std::uint32_t ticket = 0;
  ASSERT_TRUE(tracker_->begin(inodes_, {&change, 1}, ticket));  // noted nowhere
  auto begun = std::async(std::launch::async, [this] { return tracker_->begin_anew(77); });
  EXPECT_EQ(begun.wait_for(std::chrono::milliseconds{50}), std::future_status::timeout);
  EXPECT_EQ(tracker_->point().id, 0U);
  touch({.what = What::Attributes, .id = {6}});  // nobody waits for it
  tracker_->end(ticket);
  EXPECT_TRUE(*begun.get());
  EXPECT_EQ(tracker_->point(), (journal::LogPoint{77, 1}));
  touch({.what = What::Attributes, .id = {7}});
  EXPECT_EQ(inode(on_disk(), 7).name, "name");
  EXPECT_FALSE(on_disk().inodes.contains(to_key(handle({5}))));
  std::filesystem::remove(directory_ + "/activity.0.new");
  const auto point = tracker_->rotate();
  ASSERT_TRUE(point);
  tracker_->await_older();
  ASSERT_TRUE(tracker_->confirm(*point));
}

TEST_F(ActivityTrackerTest, ALogOfNoUseIsNotBegunAnew) {
  touch({.what = What::Attributes, .id = {98}});
  EXPECT_FALSE(*tracker_->begin_anew(77));
  EXPECT_EQ(tracker_->point().id, 0U);
}

TEST_F(ActivityTrackerTest, WithoutAJournalNothingMayBeChangedUntilItIsMended) {
  std::filesystem::create_directory(directory_ + "/activity.0.new");
  std::filesystem::remove(directory_ + "/journal.new");
  std::filesystem::create_directory(directory_ + "/journal.new");
  EXPECT_FALSE(tracker_->rotate());
  const Change change{.what = What::Attributes, .id = {5}};
  const auto allowed = [&] {
    std::uint32_t ticket = 0;
    const Status begun = tracker_->begin(inodes_, {&change, 1}, ticket);
    tracker_->end(ticket);
    return begun.has_value();
  };
  EXPECT_FALSE(allowed());
  EXPECT_FALSE(tracker_->mend_journal());
  EXPECT_FALSE(*tracker_->begin_anew(77));
  EXPECT_FALSE(allowed());
  std::filesystem::remove(directory_ + "/journal.new");
  ASSERT_TRUE(tracker_->mend_journal());
  EXPECT_EQ(journal_->state().own_log, journal::LogPoint{});
  EXPECT_TRUE(allowed());
  EXPECT_TRUE(*tracker_->begin_anew(77));
  EXPECT_EQ(journal_->state().own_log.id, 77U);
}

TEST_F(ActivityTrackerTest, ADamagedLogIsToldAndANewOneBegun) {
  touch({.what = What::Attributes, .id = {5}});
  const journal::LogPoint before = tracker_->point();
  tracker_.reset();
  journal::ActivityFile::remove(directory_);
  open();
  EXPECT_TRUE(tracker_->activity().empty());
  EXPECT_NE(tracker_->point().id, before.id);
  EXPECT_TRUE(std::ranges::any_of(log_.lines(), [](const auto& line) { return line.find("compared in full") != std::string::npos; }));
}

}  // namespace
}  // namespace safekit::replica
