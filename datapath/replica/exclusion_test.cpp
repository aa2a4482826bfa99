#include "datapath/replica/exclusion.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

Exclusion rules(const std::vector<ExclusionRule>& list) {
  auto compiled = Exclusion::compile(list);
  EXPECT_TRUE(compiled);
  return *compiled;
}

TEST(Exclusion, NoRuleExcludesNothing) {
  const Exclusion none = rules({});
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(none.excludes("a", "b", false));
  EXPECT_FALSE(none.excludes_path("a/b", true));
  EXPECT_EQ(none.digest(), 0U);
}

TEST(Exclusion, APathIsExcludedWithAllBelow) {
  const Exclusion exclusion = rules({{.path = "./temp/"}, {.path = "a/cache"}});
  EXPECT_TRUE(exclusion.needs_paths());
  EXPECT_TRUE(exclusion.excludes("", "temp", true));
  EXPECT_TRUE(exclusion.excludes("", "temp", false));
  EXPECT_TRUE(exclusion.excludes("a", "cache", true));
  EXPECT_FALSE(exclusion.excludes("a", "temp", true));
  EXPECT_FALSE(exclusion.excludes("", "cache", true));
  EXPECT_FALSE(exclusion.excludes("", "temporary", false));
  EXPECT_TRUE(exclusion.excludes_path("temp/x/y", false));
  EXPECT_TRUE(exclusion.excludes_path("a/cache/x", false));
  EXPECT_FALSE(exclusion.excludes_path("a/x", false));
  EXPECT_FALSE(exclusion.excludes_path("", true));
}

TEST(Exclusion, ARegexIsSearchedInNamesAtAnyDepth) {
  const Exclusion exclusion = rules({{.regex = ".*\\.tmp$"}, {.regex = "^core"}});
  EXPECT_FALSE(exclusion.needs_paths());
  EXPECT_TRUE(exclusion.excludes("", "config.tmp", false));
  EXPECT_TRUE(exclusion.excludes("deep/er", "x.tmp", true));
  EXPECT_FALSE(exclusion.excludes("", "config.tmp.swap", false));
  EXPECT_TRUE(exclusion.excludes("", "core.123", false));
  EXPECT_FALSE(exclusion.excludes("", "score", false));
  EXPECT_TRUE(exclusion.excludes_path("d.tmp/kept", false)) << "below a directory that is excluded";
}

TEST(Exclusion, OnlyWhatAnExclamationMarkMatchesIsReplicatedAndDirectoriesAreTraversed) {
  const Exclusion exclusion = rules({{.regex = "!.*\\.mdf$"}, {.regex = "!\\.ldf$"}});
  EXPECT_FALSE(exclusion.excludes("", "a.mdf", false));
  EXPECT_FALSE(exclusion.excludes("sub", "a.ldf", false));
  EXPECT_TRUE(exclusion.excludes("", "a.log", false));
  EXPECT_FALSE(exclusion.excludes("", "sub", true));
  EXPECT_FALSE(exclusion.excludes_path("sub/a.mdf", false));
  EXPECT_TRUE(exclusion.excludes_path("sub/a.log", false));
}

TEST(Exclusion, AnExclusionWinsOverAnExclamationMark) {
  const Exclusion exclusion = rules({{.regex = "!\\.mdf$"}, {.regex = "^old"}, {.path = "x/a.mdf"}});
  EXPECT_FALSE(exclusion.excludes("", "a.mdf", false));
  EXPECT_TRUE(exclusion.excludes("", "old.mdf", false));
  EXPECT_TRUE(exclusion.excludes("", "old", true));
  EXPECT_TRUE(exclusion.excludes("x", "a.mdf", false));
}

TEST(Exclusion, NamesHaveAnyBytes) {
  EXPECT_TRUE(rules({{.path = "\xff\n"}}).excludes("", "\xff\n", false));
  EXPECT_TRUE(rules({{.regex = "tmp$"}}).excludes("", "\xc3\xa9\xfe tmp", false));
}

TEST(Exclusion, PathsBelowADirectoryAreRelativeToIt) {
  const Exclusion exclusion = rules({{.path = "a/b/c"}, {.path = "a"}, {.path = "ab/c"}});
  EXPECT_EQ(exclusion.paths_below("a"), (std::vector<std::string>{"b/c"}));
  EXPECT_EQ(exclusion.paths_below("a/b"), (std::vector<std::string>{"c"}));
  EXPECT_EQ(exclusion.paths_below(""), (std::vector<std::string>{"a/b/c", "a", "ab/c"}));
  EXPECT_TRUE(exclusion.paths_below("c").empty());
}

TEST(Exclusion, ABadExpressionIsRefused) {
  const auto bad = Exclusion::compile({{.regex = "!(a"}});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::Invalid);
}

TEST(Exclusion, ADigestTellsRulesApart) {
  EXPECT_NE(rules({{.path = "a"}}).digest(), rules({{.regex = "a"}}).digest());
  EXPECT_EQ(digest_of({rules({{.path = "a"}}), {}}), digest_of({rules({{.path = "a"}}), {}}));
  EXPECT_NE(digest_of({rules({{.path = "a"}}), {}}), digest_of({{}, rules({{.path = "a"}})}));
  EXPECT_EQ(digest_of({{}, {}}), 0U) << "as a replica that knows no rules";
}

}  // namespace
}  // namespace safekit::replica
