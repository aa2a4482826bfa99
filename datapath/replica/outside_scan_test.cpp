#include "datapath/replica/outside_scan.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "datapath/linux/clock.h"
#include "datapath/replica/handle.h"

namespace safekit::replica {
namespace {

class OutsideScanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/outside-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    top_ = name;
    for (const char* directory : {"a/deep", "b/deep", "c", "temp"}) std::filesystem::create_directories(path(directory));
    for (const char* file : {"a/f", "a/g", "a/deep/x", "b/f", "b/deep/x", "c/f", "temp/f", "top"}) write(file);
    begin();
  }
  void TearDown() override { std::filesystem::remove_all(top_); }
  [[nodiscard]] std::string path(const std::string& below) const { return top_ + "/" + below; }
  void write(const std::string& below) const { std::ofstream{path(below), std::ios::app} << below; }
  /// What is changed from here on is somebody else's.
  void begin() { since_ = linux_os::next_file_moment().now; }
  Outside look(const Exclusions& exclusions = {}) {
    std::vector<Fd> roots;
    roots.emplace_back(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return scan(roots, exclusions, {since_, until_}, 3, std::stop_token{});
  }
  HandleKey key(const std::string& below) {
    const Fd fd{::open(path(below).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    const auto mount = mount_id_of(fd.get());
    EXPECT_TRUE(mount);
    const auto found = key_at({0, *mount}, fd.get(), "");
    EXPECT_TRUE(found);
    return *found;
  }
  /// Paths of what was found, and "tree NAME" for trees.
  std::set<std::string> names(const Outside& found) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{top_}) {
      const std::string below = std::filesystem::relative(entry.path(), top_);
      if (const auto at = found.changes.inodes.find(key(below)); at != found.changes.inodes.end()) {
        names.insert(below);
        for (const std::string& tree : at->second.trees) names.insert("tree " + below + "/" + tree);
      }
    }
    if (const auto at = found.changes.inodes.find(key("")); at != found.changes.inodes.end()) {
      names.insert(".");
      for (const std::string& tree : at->second.trees) names.insert("tree " + tree);
    }
    return names;
  }

  std::string top_{};
  std::int64_t since_{0};
  std::int64_t until_{INT64_MAX};
};
using Names = std::set<std::string>;

TEST_F(OutsideScanTest, FindsNothingInWhatNobodyTouched) {
  const Outside found = look();
  EXPECT_TRUE(found.empty());
  EXPECT_EQ(found.found, 0U);
  EXPECT_EQ(found.looked_at, 14U);
}

TEST_F(OutsideScanTest, FindsContentBehindAFakedTimeAttributesAndXattrs) {
  struct stat before {};
  ASSERT_EQ(::stat(path("a/f").c_str(), &before), 0);
  write("a/f");
  const std::array<timespec, 2> times{before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path("a/f").c_str(), times.data(), 0), 0);
  ASSERT_EQ(::chmod(path("b/f").c_str(), 0751), 0);
  const Outside found = look();
  EXPECT_EQ(names(found), (Names{"a/f", "b/f"}));
  EXPECT_EQ(found.found, 2U);
  const auto& marks = found.changes.inodes.at(key("a/f"));
  EXPECT_EQ(marks.groups.from, 0U);
  EXPECT_EQ(marks.parent, key("a"));
  EXPECT_EQ(marks.name, "f");
}

// It may have been changed before as well, so it is compared; but nobody is told that others did it.
TEST_F(OutsideScanTest, WhatIsTouchedMeanwhileIsNotCountedAsOthers) {
  write("a/f");
  until_ = linux_os::next_file_moment().now;
  (void)linux_os::next_file_moment();
  write("b/f");
  const Outside found = look();
  EXPECT_EQ(names(found), (Names{"a/f", "b/f"}));
  EXPECT_EQ(found.found, 1U);
  EXPECT_EQ(found.first, "a/f");
  EXPECT_EQ(found.meanwhile, 1U);
}

TEST_F(OutsideScanTest, FindsTheDirectoryOfWhatCameOrWent) {
  std::filesystem::remove(path("a/deep/x"));
  std::filesystem::rename(path("b/f"), path("b/moved"));
  EXPECT_EQ(names(look()), (Names{"a/deep", "b", "b/moved"}));
}

// Names in a directory that stands where it stood are compared; one that may have been moved, with all below.
TEST_F(OutsideScanTest, ADirectoryThatWasMovedIsATree) {
  ASSERT_EQ(::renameat2(AT_FDCWD, path("a/deep").c_str(), AT_FDCWD, path("b/deep").c_str(), RENAME_EXCHANGE), 0);
  EXPECT_EQ(names(look()), (Names{"a", "a/deep", "tree a/deep", "b", "b/deep", "tree b/deep"}));
  begin();
  std::filesystem::rename(path("c"), path("d"));
  EXPECT_EQ(names(look()), (Names{".", "d", "tree d"}));
}

TEST_F(OutsideScanTest, AChangedFileWithSeveralNamesLeavesEverythingInDoubt) {
  std::filesystem::create_hard_link(path("a/f"), path("b/too"));
  const Outside found = look();
  EXPECT_NE(found.unknown.find("has several names"), std::string::npos);
  EXPECT_TRUE(found.changes.empty());
  begin();
  EXPECT_TRUE(look().empty());  // untouched it does not matter
}

TEST_F(OutsideScanTest, WhatIsNotReplicatedIsNotLookedAt) {
  const auto rules = Exclusion::compile({{.path = "temp"}, {.regex = "^g$"}});
  ASSERT_TRUE(rules);
  write("temp/f");
  write("a/g");
  const Outside found = look({*rules});
  EXPECT_TRUE(found.empty());
  EXPECT_EQ(found.looked_at, 11U);
}

TEST_F(OutsideScanTest, ADirectoryThatCannotBeReadLeavesEverythingInDoubt) {
  std::vector<Fd> roots;
  roots.emplace_back(::open(path("top").c_str(), O_RDONLY | O_CLOEXEC));  // no directory
  roots.emplace_back(-1);
  EXPECT_FALSE(scan(roots, {}, {since_}, 2, std::stop_token{}).unknown.empty());
}

TEST_F(OutsideScanTest, EndsEarlyWhenItIsToStop) {
  std::stop_source source;
  source.request_stop();
  std::vector<Fd> roots;
  roots.emplace_back(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_LT(scan(roots, {}, {since_}, 2, source.get_token()).looked_at, 14U);
}

}  // namespace
}  // namespace safekit::replica
