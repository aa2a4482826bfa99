#include "datapath/fuse/name_search.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "datapath/linux/fd.h"

namespace safekit::fuse {
namespace {

class NameSearchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "name_search.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    root_.reset(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove_all(top_); }

  /// A file whose name the kernel does not remember: it was opened by another one, which is gone.
  Fd forgotten(const std::string& name) const {
    const std::string first = top_ + "/first";
    std::ofstream{first} << name;
    Fd file{::open(first.c_str(), O_PATH | O_CLOEXEC)};
    if (!name.empty()) std::filesystem::create_hard_link(first, top_ + "/" + name);
    std::filesystem::remove(first);
    return file;
  }

  std::string top_{};
  Fd root_{};
};

TEST_F(NameSearchTest, FindsANameThatTheKernelDoesNotRemember) {
  std::filesystem::create_directories(top_ + "/a/b/c");
  std::filesystem::create_directories(top_ + "/a/d");
  const Fd file = forgotten("a/b/c/f");
  const auto found = find_name({.root = root_.get(), .target = file.get()});
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, "a/b/c/f");
}

TEST_F(NameSearchTest, WhatHasNoNameIsAbsent) {
  std::filesystem::create_directories(top_ + "/a/b");
  const Fd file = forgotten("");
  EXPECT_EQ(find_name({.root = root_.get(), .target = file.get()}).error().number, ENOENT);
}

TEST_F(NameSearchTest, ADirectoryThatCannotBeOpenedIsAnErrorAndNoProofOfAbsence) {
  std::filesystem::create_directories(top_ + "/a/b");
  const Fd file = forgotten("a/b/f");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const Fd next{::dup(file.get())};  // the lowest free descriptors: enough for the top and what is below it, no more
  rlimit few{.rlim_cur = static_cast<rlim_t>(next.get()) + 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto found = find_name({.root = root_.get(), .target = file.get()});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().number, EMFILE);
}

TEST_F(NameSearchTest, APathMayBeLongerThanTheKernelTakes) {
  const std::string name(200, 'n');
  Fd at{::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  std::string path;
  for (int depth = 0; depth < 25; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0700), 0);
    at.reset(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    path += name + "/";
  }
  const Fd file{::openat(at.get(), "f", O_CREAT | O_RDWR | O_CLOEXEC, 0600)};
  const auto found = find_name({.root = root_.get(), .target = file.get()});
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, path + "f");
}

}  // namespace
}  // namespace safekit::fuse
