#include "datapath/replica/copy_look.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "datapath/replica/inspection.h"
#include "datapath/resync/zone_digest.h"

namespace safekit::replica {
namespace {

using Names = std::vector<std::pair<std::string, std::uint16_t>>;

TEST(CopyLook, NamesAreMissingAdditionalOrOfAnotherKind) {
  const auto answer = compare_names({{"same", S_IFREG}, {"gone", S_IFREG}, {"kind", S_IFDIR}},
                                    {{"new", S_IFLNK}, {"kind", S_IFREG}, {"same", S_IFREG}});
  EXPECT_EQ(answer.names, (Names{{"gone", wire::kMissing}, {"kind", wire::kKind}, {"new", wire::kAdditional}}));
  EXPECT_FALSE(answer.more_names);
  EXPECT_TRUE(compare_names({}, {}).names.empty());
}

TEST(CopyLook, NamesHaveABound) {
  std::vector<NamedType> many;
  for (std::size_t i = 0; i < wire::kVerifyNamesMax; ++i) many.emplace_back(std::to_string(i), S_IFREG);
  EXPECT_FALSE(compare_names(many, {}).more_names);
  many.emplace_back("one more", S_IFREG);
  for (const auto& answer : {compare_names(many, {}), compare_names({}, many)}) {
    EXPECT_TRUE(answer.more_names);
    EXPECT_EQ(answer.names.size(), wire::kVerifyNamesMax);
  }
}

TEST(CopyLook, EachAttributeIsTold) {
  const wire::VerifyState wanted{.attributes = {.mode = S_IFREG | 0644, .uid = 1, .gid = 2, .size = 3, .mtime = {4, 5}},
                                 .xattrs = {{"user.a", "b"}}};
  const InodeLook same{.attributes = wanted.attributes, .xattrs = wanted.xattrs};
  EXPECT_EQ(compare_inode(wanted, same), 0);
  const auto with = [&](auto change) {
    InodeLook other = same;
    change(other);
    return compare_inode(wanted, other);
  };
  EXPECT_EQ(with([](InodeLook& here) { here.attributes.mode = S_IFREG | 04644; }), wire::kMode);
  EXPECT_EQ(with([](InodeLook& here) { here.attributes.uid = 9; }), wire::kOwner);
  EXPECT_EQ(with([](InodeLook& here) { here.attributes.gid = 9; }), wire::kOwner);
  EXPECT_EQ(with([](InodeLook& here) { here.attributes.size = 9; }), wire::kSize);
  EXPECT_EQ(with([](InodeLook& here) { here.attributes.mtime.nanoseconds = 9; }), wire::kMtime);
  EXPECT_EQ(with([](InodeLook& here) { here.xattrs[0].second = "c"; }), wire::kXattrs);
  EXPECT_EQ(with([](InodeLook& here) { here.attributes.mode = S_IFIFO | 0644; }), wire::kKind);
  EXPECT_EQ(with([](InodeLook& here) {
              here.attributes.mode = S_IFREG | 0600;
              here.attributes.size = 9;
            }),
            wire::kMode | wire::kSize);
}

TEST(CopyLook, WhatSaysNothingIsNotCompared) {
  wire::VerifyState wanted{.with_mtime = false, .attributes = {.mode = S_IFDIR | 0755, .size = 3, .mtime = {4, 5}}};
  EXPECT_EQ(compare_inode(wanted, {.attributes = {.mode = S_IFDIR | 0755, .size = 9, .mtime = {6, 7}}}), 0);
  wanted = {.attributes = {.mode = S_IFLNK | 0777, .size = 1}, .link_target = "a"};
  EXPECT_EQ(compare_inode(wanted, {.attributes = wanted.attributes, .link_target = "b"}), wire::kTarget);
  wanted = {.attributes = {.mode = S_IFCHR | 0600, .device = 1}};
  EXPECT_EQ(compare_inode(wanted, {.attributes = {.mode = S_IFCHR | 0600, .device = 2}}), wire::kDevice);
}

TEST(CopyLook, DifferencesHaveWords) {
  EXPECT_EQ(differs_text(0), "");
  EXPECT_EQ(differs_text(wire::kMode | wire::kContent), "mode, content");
  EXPECT_EQ(differs_text(wire::kMissing), "missing on the secondary");
}

class CopyLookTest : public ::testing::Test {
 protected:
  CopyLookTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "copy-look-XXXXXX").string();
    top = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(top + "/d");
    std::ofstream{top + "/d/f"} << "content";
    std::filesystem::create_symlink("/etc", top + "/out");
  }
  ~CopyLookTest() override { std::filesystem::remove_all(top); }
  std::string top{};
};

TEST_F(CopyLookTest, LooksAtThePathsOfItsTreesOnly) {
  const auto rules = Exclusion::compile({{.path = "", .regex = "\\.tmp$"}});
  ASSERT_TRUE(rules);
  Applier applier{{top}, {*rules}};
  if (const Status opened = applier.open(); !opened) GTEST_SKIP() << opened.error().what;  // needs root
  CopyLook look{applier};
  std::ofstream{top + "/left.tmp"} << "x";
  EXPECT_FALSE(look.names({.at = {0, ""}, .last = false, .entries = {{"d", S_IFDIR}}}));
  const auto names = look.names({.at = {0, ""}, .entries = {{"gone", S_IFREG}}});
  ASSERT_TRUE(names);
  EXPECT_EQ(names->names, (Names{{"gone", wire::kMissing}, {"out", wire::kAdditional}}));
  EXPECT_EQ(look.names({.at = {0, "out"}})->differs, wire::kKind) << "a symbolic link was followed";
  EXPECT_EQ(look.state({.at = {0, "out/passwd"}}).differs, wire::kMissing) << "a symbolic link was followed";
  EXPECT_EQ(look.names({.at = {0, "d/f"}})->differs, wire::kKind);
  EXPECT_EQ(look.names({.at = {7, ""}})->differs, wire::kMissing);
  EXPECT_EQ(look.state({.at = {0, "d/no"}}).differs, wire::kMissing);
  EXPECT_EQ(look.state({.at = {0, "out"}, .attributes = {.mode = S_IFREG}}).differs, wire::kKind);

  const wire::TreePath at{0, "d/f"};
  const Fd fd{::open((top + "/d/f").c_str(), O_RDONLY)};
  const auto digests = resync::digest_zones(fd.get(), 4, 0, 2);
  ASSERT_TRUE(digests);
  wire::VerifyZones zones{.at = at, .digests = *digests};
  EXPECT_TRUE(compare_zones(look.file(at), zones, 4).zones.empty());
  zones.digests[1].low ^= 1;
  EXPECT_EQ(compare_zones(look.file(at), zones, 4).zones, std::vector<std::uint32_t>{1});
  EXPECT_EQ(compare_zones(look.file({0, "d"}), zones, 4).differs, wire::kKind);
  EXPECT_EQ(compare_zones(look.file({0, "d/no"}), zones, 4).differs, wire::kMissing);
}

}  // namespace
}  // namespace safekit::replica
