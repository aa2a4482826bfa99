#include "reconciler/api/lost_writes.h"

#include <gtest/gtest.h>

#include "schema/doc/json.h"

namespace safekit::api {
namespace {

TEST(LostWritesApi, NamesHoldAnyByte) {
  std::string all;
  for (int c = 1; c < 256; ++c) all += static_cast<char>(c);
  for (const std::string& name : {all, std::string{"a\\x41"}, std::string{"gr\xc3\xbc\xc3\x9f"}, std::string{"\xf0\x9f\x98\x80"}, std::string{}}) {
    const std::string text = escaped(name);
    EXPECT_TRUE(doc::is_utf8(text));
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_EQ(*unescaped(text), name);
  }
  EXPECT_EQ(escaped("gr\xc3\xbc\xc3\x9f\xff"), "gr\xc3\xbc\xc3\x9f\\xff");
  EXPECT_FALSE(unescaped("\\x4"));
  EXPECT_FALSE(unescaped("\\n"));
}

TEST(LostWritesApi, AnItemComesBackAsItWas) {
  const LostItem item{.number = 3, .kind = "file", .path = "/srv/a\xff", .removed = true, .mode = 0100644, .uid = 1, .gid = 2,
                      .device = 5, .size = 1ULL << 40, .mtime_seconds = -7, .mtime_nanoseconds = 8, .link_target = "\n",
                      .xattrs = {{"user.x", std::string{"\0\xff", 2}}}, .names = {"/srv/b"},
                      .pieces = {{0, 4096, "kept", 8192}, {1ULL << 39, 1, "zeros", 0}, {9, 9, "no-room", 0}}};
  doc::Problems problems{"test"};
  const auto read = doc::parse_json(doc::print_json(to_tree(item)), problems);
  ASSERT_EQ(read.size(), 1U);
  const auto back = lost_item_from(read[0]);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, item);
  for (const char* piece : {"", "1", "1+2", "x+2 kept 3", "1+2 kept", "1+2 kept x"}) {
    doc::Node broken = doc::Node::map();
    broken.add("pieces", doc::Node::list()).push(doc::Node::string(piece));
    EXPECT_FALSE(lost_item_from(broken)) << piece;
  }
}

TEST(LostWritesApi, ASetComesBackAsItWas) {
  const LostSet set{.name = "S", .node = "a", .peer = "b", .begun = WallTime{1'700'000'000'000'001'000}, .ended = {},
                    .by_others = true, .items = 1, .bytes = 2, .missed_items = 3, .missed_bytes = 4};
  EXPECT_EQ(lost_set_from(to_tree(set)), set);
}

}  // namespace
}  // namespace safekit::api
