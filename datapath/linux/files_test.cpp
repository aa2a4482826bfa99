#include "datapath/linux/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace safekit::linux_os {
namespace {

class SystemFilesTest : public ::testing::Test {
 protected:
  SystemFilesTest() {
    char name[] = "/tmp/sk-files-XXXXXX";
    directory = mkdtemp(name);
  }
  ~SystemFilesTest() override { std::filesystem::remove_all(directory); }
  std::string directory{};
  SystemFiles files{};
};

TEST_F(SystemFilesTest, ReplacesAFileAndMakesItsDirectories) {
  const std::string path = directory + "/a/b/c.txt";
  ASSERT_TRUE(files.replace(path, "one", 0644));
  ASSERT_TRUE(files.replace(path, "two", 0600));
  EXPECT_EQ(*files.read(path), "two");
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  const auto list = files.list(directory + "/a/b");
  ASSERT_TRUE(list);
  EXPECT_EQ(*list, (std::vector<FileInfo>{{.name = "c.txt", .size_bytes = 3}}))
      << "no temporary file is left";
}

TEST_F(SystemFilesTest, LeavesTheOldFileWhenTheNewOneCannotBeWritten) {
  ASSERT_TRUE(files.make_directories(directory + "/target/inside"));
  EXPECT_FALSE(files.replace(directory + "/target", "x", 0644)) << "a directory is not replaced";
  EXPECT_TRUE(std::filesystem::is_directory(directory + "/target/inside"));
  EXPECT_TRUE(files.list(directory)->empty());
}

TEST_F(SystemFilesTest, ReadsWithABound) {
  ASSERT_TRUE(files.replace(directory + "/f", std::string(100, 'x'), 0644));
  EXPECT_TRUE(read_file(directory + "/f", 100));
  EXPECT_EQ(read_file(directory + "/f", 99).error().code, Code::Exhausted);
  EXPECT_EQ(files.read(directory + "/none").error().code, Code::NotFound);
}

TEST_F(SystemFilesTest, ListsTruncatesAndRemoves) {
  ASSERT_TRUE(files.replace(directory + "/b", "12", 0644));
  ASSERT_TRUE(files.replace(directory + "/a", "1", 0644));
  ASSERT_TRUE(files.make_directories(directory + "/sub"));
  EXPECT_EQ(*files.list(directory), (std::vector<FileInfo>{{"a", 1}, {"b", 2}}));
  EXPECT_TRUE(files.truncate(directory + "/b"));
  EXPECT_EQ(*files.read(directory + "/b"), "");
  EXPECT_TRUE(files.remove(directory + "/b"));
  EXPECT_TRUE(files.remove(directory + "/b"));
  EXPECT_TRUE(files.list(directory + "/none")->empty());
  EXPECT_EQ(files.make_directories(directory + "/a/x").error().code, Code::Conflict);
}

TEST_F(SystemFilesTest, RemovesATreeAndNothingThatALinkInItNames) {
  ASSERT_TRUE(files.replace(directory + "/tree/deep/f", "1", 0644));
  ASSERT_TRUE(files.replace(directory + "/other/kept", "1", 0644));
  std::filesystem::create_directory_symlink(directory + "/other", directory + "/tree/link");
  EXPECT_TRUE(files.remove_tree(directory + "/tree"));
  EXPECT_TRUE(files.remove_tree(directory + "/tree"));
  EXPECT_FALSE(std::filesystem::exists(directory + "/tree"));
  EXPECT_EQ(*files.read(directory + "/other/kept"), "1");
}

}  // namespace
}  // namespace safekit::linux_os
