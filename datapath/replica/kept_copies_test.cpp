#include "datapath/replica/kept_copies.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "schema/fake/kept_log.h"
#include "schema/fake/manual_clock.h"

namespace safekit::replica {
namespace {

namespace fs = std::filesystem;

std::string content(const std::string& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void write(const std::string& path, const std::string& text) { std::ofstream{path} << text; }

class KeptCopiesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounts a file system: needs root";
    std::string name = ::testing::TempDir() + "/kept-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    top_ = name;
    for (const char* directory : {"/one", "/two"}) fs::create_directory(top_ + directory);
    kept_ = std::make_unique<KeptCopies>(std::vector<std::string>{one(), top_ + "/two"}, clock_, log_);
  }
  void TearDown() override {
    kept_.reset();
    fs::remove_all(top_);
  }
  [[nodiscard]] std::string one() const { return top_ + "/one"; }
  [[nodiscard]] Status keep(std::stop_token stop = {}) {
    return kept_->keep({.copies = true, .takes_max = seconds{1}}, stop);
  }
  [[nodiscard]] std::vector<std::string> beside() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator{top_}) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }

  std::string top_{};
  fake::ManualClock clock_{};
  fake::KeptLog log_{};
  std::unique_ptr<KeptCopies> kept_{};
};

TEST_F(KeptCopiesTest, WhatWasKeptComesBackAsItWas) {
  fs::create_directory(one() + "/deep");
  write(one() + "/deep/file", "old");
  fs::create_hard_link(one() + "/deep/file", one() + "/linked");
  fs::create_symlink("nowhere", one() + "/link");
  ASSERT_EQ(::mkfifo((one() + "/fifo").c_str(), 0640), 0);
  ASSERT_EQ(::setxattr((one() + "/deep").c_str(), "user.a", "b", 1, 0), 0);
  write(one() + "/sparse", "x");
  fs::resize_file(one() + "/sparse", 5 << 20);
  ASSERT_EQ(::chmod((one() + "/deep/file").c_str(), 0604), 0);
  ASSERT_EQ(::chown((one() + "/deep/file").c_str(), 3, 4), 0);
  const timespec times[2]{{.tv_sec = 1, .tv_nsec = 2}, {.tv_sec = 1'000'000'000, .tv_nsec = 7}};
  for (const char* name : {"/deep/file", "/deep", ""}) ASSERT_EQ(::utimensat(AT_FDCWD, (one() + name).c_str(), times, 0), 0);
  ASSERT_EQ(::chmod(one().c_str(), 0711), 0);
  ASSERT_TRUE(keep());
  EXPECT_TRUE(kept_->are_kept());
  EXPECT_EQ(beside(), (std::vector<std::string>{".safekit-kept.one", ".safekit-kept.two", "one", "two"}));
  write(one() + "/deep/file", "newer");
  fs::remove_all(one() + "/deep");
  write(one() + "/more", "more");
  ASSERT_TRUE(kept_->put_back());
  EXPECT_FALSE(kept_->are_kept());
  EXPECT_EQ(content(one() + "/linked"), "old");
  struct stat st {};
  ASSERT_EQ(::stat((one() + "/deep/file").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0604U);
  EXPECT_EQ(st.st_uid, 3U);
  EXPECT_EQ(st.st_nlink, 2U);
  EXPECT_EQ(st.st_mtim.tv_nsec, 7);
  EXPECT_TRUE(fs::equivalent(one() + "/deep/file", one() + "/linked"));
  EXPECT_EQ(fs::read_symlink(one() + "/link"), "nowhere");
  EXPECT_TRUE(fs::is_fifo(one() + "/fifo"));
  ASSERT_EQ(::stat((one() + "/sparse").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 5 << 20);
  EXPECT_LT(st.st_blocks, 100);
  char value = 0;
  EXPECT_EQ(::getxattr((one() + "/deep").c_str(), "user.a", &value, 1), 1);
  ASSERT_EQ(::stat(one().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0711U);
  EXPECT_EQ(st.st_mtim.tv_sec, 1'000'000'000);
  EXPECT_FALSE(fs::exists(one() + "/more"));
  kept_->sweep();
  while (beside().size() > 2) std::this_thread::yield();
  EXPECT_EQ(beside(), (std::vector<std::string>{"one", "two"}));
}

TEST_F(KeptCopiesTest, OnlyWhatIsNotNeededGoes) {
  ASSERT_TRUE(keep());
  fs::create_directory(top_ + "/.safekit-old.one");
  fs::create_directory(top_ + "/.safekit-making.two");
  kept_->sweep();
  while (beside().size() > 4) std::this_thread::yield();
  EXPECT_TRUE(kept_->are_kept());
  kept_->drop();
  while (beside().size() > 2) std::this_thread::yield();
  EXPECT_EQ(beside(), (std::vector<std::string>{"one", "two"}));
}

TEST_F(KeptCopiesTest, AReturnThatWasBrokenOffIsGoneOnWith) {
  write(one() + "/file", "old");
  ASSERT_TRUE(keep());
  write(one() + "/file", "newer");
  fs::rename(one(), top_ + "/.safekit-old.one");  // lost power just here
  ASSERT_TRUE(kept_->put_back());
  EXPECT_EQ(content(one() + "/file"), "old");
  ASSERT_TRUE(kept_->put_back());  // and before this was noted
  EXPECT_EQ(content(one() + "/file"), "old");
}

TEST_F(KeptCopiesTest, WhatIsNotWholeIsNotKept) {
  write(one() + "/file", "old");
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(keep(stopped.get_token()).error().code, Code::Unavailable);
  EXPECT_FALSE(kept_->are_kept());
  EXPECT_EQ(kept_->keep({.copies = true, .takes_max = seconds{-1}}, {}).error().code, Code::Timeout);
  EXPECT_FALSE(kept_->are_kept());
  ASSERT_TRUE(keep()) << "what is left of the attempts is in nobody's way";
  EXPECT_TRUE(kept_->are_kept());
  if (!kept_->can_share()) {
    EXPECT_EQ(kept_->keep({.takes_max = seconds{1}}, {}).error().code, Code::Unsupported);
  }
}

TEST_F(KeptCopiesTest, NobodyWaitsForTheEndOfARemoval) {
  constexpr int kFiles = 20'000;
  constexpr int kAttempts = 5;  // the remover may be done first where this thread gets no processor
  const std::string old_one = top_ + "/.safekit-old.one";
  bool went_on = false;
  for (int attempt = 0; attempt < kAttempts && !went_on; ++attempt) {
    fs::create_directory(old_one);
    for (int i = 0; i < kFiles; ++i) write(old_one + "/" + std::to_string(i), "");
    kept_->sweep();
    while (fs::exists(old_one + "/0") && fs::exists(old_one + "/19999")) std::this_thread::yield();
    (void)kept_->can_share();
    (void)kept_->are_kept();
    went_on = fs::exists(old_one);
    kept_->drop();
    while (fs::exists(old_one)) std::this_thread::yield();
  }
  EXPECT_TRUE(went_on);
}

TEST_F(KeptCopiesTest, WhatAnAttemptHasLeftIsRemovedNoLongerThanMayBe) {
  const std::string left = top_ + "/.safekit-making.one/file";
  fs::create_directory(top_ + "/.safekit-making.one");
  write(left, "left");
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(keep(stopped.get_token()).error().code, Code::Unavailable);
  EXPECT_TRUE(fs::exists(left));
  EXPECT_EQ(kept_->keep({.copies = true, .takes_max = seconds{-1}}, {}).error().code, Code::Timeout);
  EXPECT_TRUE(fs::exists(left));
  EXPECT_TRUE(keep());
  EXPECT_FALSE(fs::exists(left));
}

}  // namespace
}  // namespace safekit::replica
