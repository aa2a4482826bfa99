#include "reconciler/cli/restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace safekit::cli {
namespace {

namespace fs = std::filesystem;

class RestoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "restore.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top = pattern;
  }
  void TearDown() override { fs::remove_all(top); }
  static api::LostItem file(std::uint64_t number, const std::string& path, bool removed) {
    return {.number = number, .kind = "file", .path = path, .removed = removed, .mode = 0100640, .uid = ::getuid(), .gid = ::getgid(),
            .size = 12, .mtime_seconds = 1000, .pieces = {{4, 4, "kept", 2}}};
  }
  static Result<std::string> data(std::uint64_t at, std::size_t size) { return std::string{"0123456789"}.substr(at, size); }
  static std::string text(const std::string& path) {
    std::stringstream out;
    out << std::ifstream{path}.rdbuf();
    return out.str();
  }

  std::string top{};
};

TEST_F(RestoreTest, PutsEachPieceInItsPlace) {
  auto linked = file(1, "/srv/d/a", true);
  linked.names = {"/srv/e/b"};
  auto incomplete = file(3, "/srv/d/c", false);
  incomplete.pieces.push_back({8, 4, "no-room", 0});
  const api::LostItem directory{.number = 4, .kind = "directory", .path = "/srv/empty", .removed = true, .mode = 040750,
                                .uid = ::getuid(), .gid = ::getgid()};
  const api::LostItem link{.number = 5, .kind = "link", .path = "/srv/l", .removed = true, .mode = 0120777, .uid = ::getuid(),
                           .gid = ::getgid(), .link_target = "x"};
  const api::LostItem absent{.number = 6, .kind = "absent", .path = "/srv/gone"};
  const auto done = restore(top + "/out", {linked, file(2, "/srv/d/a", true), incomplete, directory, link, absent}, data);
  ASSERT_TRUE(done) << done.error().what;
  EXPECT_EQ(done->whole, 4U);
  EXPECT_EQ(done->parts, 1U);
  EXPECT_EQ(done->incomplete, 1U);
  EXPECT_THAT(done->notes, testing::IsEmpty());
  const std::string holes(4, '\0');
  EXPECT_EQ(text(top + "/out/files/srv/d/a"), holes + "2345" + holes);
  EXPECT_TRUE(fs::equivalent(top + "/out/files/srv/d/a", top + "/out/files/srv/e/b"));
  EXPECT_TRUE(fs::exists(top + "/out/files/srv/d/a.2"));
  EXPECT_EQ(text(top + "/out/parts/srv/d/c"), holes + "2345" + holes);
  EXPECT_EQ(fs::read_symlink(top + "/out/files/srv/l"), "x");
  struct stat st {};
  ASSERT_EQ(::stat((top + "/out/files/srv/empty").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0750U);
  ASSERT_EQ(::stat((top + "/out/files/srv/d/a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mtim.tv_sec, 1000);
  EXPECT_THAT(text(top + "/out/listing"), testing::HasSubstr("no-room"));
}

TEST_F(RestoreTest, WritesNowhereElse) {
  fs::create_directories(top + "/out/x");
  EXPECT_EQ(restore(top + "/out", {}, data).error().code, Code::Conflict);
  EXPECT_EQ(restore(top + "/a", {file(1, "/../../escaped", true)}, data).error().code, Code::Corrupt);
  EXPECT_FALSE(fs::exists(top + "/escaped"));
  // A link that an item makes is not a way out for the next one.
  const api::LostItem link{.number = 1, .kind = "link", .path = "/l", .removed = true, .mode = 0120777, .uid = ::getuid(),
                           .gid = ::getgid(), .link_target = top};
  EXPECT_FALSE(restore(top + "/b", {link, file(2, "/l/escaped", true)}, data));
  EXPECT_FALSE(fs::exists(top + "/escaped"));
}

}  // namespace
}  // namespace safekit::cli
