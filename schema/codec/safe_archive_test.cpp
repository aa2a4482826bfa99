#include "schema/codec/safe_archive.h"

#include <gtest/gtest.h>

namespace safekit::codec {
namespace {

SafeArchive sample() {
  return {.files = {{"conf/userconfig.xml", "<safe/>"},
                    {"bin/start_prim", "#!/bin/sh\nexit 0\n"},
                    {"bin/tool", std::string("\x7f"
                                             "ELF\0",
                                             5)},
                    {"bin/sub/x", "deep"},
                    {"manifest.xml", "<old/>"}}};
}

/// Changes a name everywhere in the archive; both must be of one size.
Bytes renamed(Bytes bytes, std::string_view from, std::string_view to) {
  std::string text{as_text(bytes)};
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    text.replace(at, from.size(), to);
  }
  return {text.begin(), text.end()};
}

TEST(SafeArchive, GivesBackWhatWasPacked) {
  const auto bytes = write_safe_archive(sample());
  ASSERT_TRUE(bytes) << bytes.error().what;
  const auto back = read_safe_archive(*bytes);
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(*back, sample());
  EXPECT_EQ(*write_safe_archive(sample()), *bytes) << "equal archives are equal bytes";
  EXPECT_EQ(config_path(*back), "conf/userconfig.xml");
}

TEST(SafeArchive, TextScriptsGoIntoTheModule) {
  spec::Module module;
  doc::Problems problems{"a.safe"};
  add_scripts(sample(), module, problems);
  ASSERT_TRUE(module.scripts);
  EXPECT_FALSE(module.scripts->enabled) << "there is no <user>";
  EXPECT_EQ(module.scripts->files,
            (std::map<std::string, std::string>{{"start_prim", "#!/bin/sh\nexit 0\n"}}));
  EXPECT_EQ(problems.list().size(), 2u) << "the program and the file in a folder";
  const SafeArchive made = make_safe_archive(module, "<safe/>");
  EXPECT_EQ(made.files.size(), 2u);
  EXPECT_EQ(made.files.at("bin/start_prim"), "#!/bin/sh\nexit 0\n");
}

TEST(SafeArchive, FindsTheModulesOwnFolder) {
  const SafeArchive archive{.files = {{"db/conf/userconfig.xml", "x"}, {"db/bin/s", "y"}}};
  EXPECT_EQ(config_path(archive), "db/conf/userconfig.xml");
  spec::Module module;
  doc::Problems problems{"a.safe"};
  add_scripts(archive, module, problems);
  EXPECT_EQ(module.scripts->files.count("s"), 1u);
}

TEST(SafeArchive, RefusesPathsThatLeaveIt) {
  const Bytes good = *write_safe_archive({.files = {{"aaaaa/evil", "x"}}});
  for (const std::string_view to : {"../../evil", "/etc/eevil", "aa/../evil", "C:/xx/evil", "..\\..\\evil"}) {
    const auto result = read_safe_archive(renamed(good, "aaaaa/evil", to));
    ASSERT_FALSE(result) << to;
    EXPECT_EQ(result.error().code, Code::Invalid) << to << result.error().what;
  }
  EXPECT_FALSE(write_safe_archive({.files = {{"../x", ""}}}));
  EXPECT_FALSE(write_safe_archive({})) << "a zip needs a file";
}

TEST(SafeArchive, RefusesBombsAndGarbage) {
  const auto bomb =
      write_safe_archive({.files = {{"bin/zeros", std::string(kArchiveFileBytesMax + 1, '\0')}}});
  ASSERT_TRUE(bomb);
  EXPECT_LT(bomb->size(), 1'000'000u);
  EXPECT_EQ(read_safe_archive(*bomb).error().code, Code::Exhausted);
  SafeArchive many;
  for (std::size_t i = 0; i <= kArchiveFilesMax; ++i) many.files["f" + std::to_string(i)] = "";
  EXPECT_EQ(read_safe_archive(*write_safe_archive(many)).error().code, Code::Exhausted);
  EXPECT_EQ(read_safe_archive(as_bytes("no zip at all")).error().code, Code::Corrupt);
  EXPECT_EQ(read_safe_archive({}).error().code, Code::Corrupt);
}

TEST(SafeArchive, DamagedBytesNeverCrash) {
  const Bytes good = *write_safe_archive(sample());
  std::uint64_t state = 3;
  for (int round = 0; round < 500; ++round) {
    Bytes bad = good;
    for (int edit = 0; edit < 3; ++edit) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      bad[(state >> 33) % bad.size()] = static_cast<std::uint8_t>(state >> 20);
    }
    (void)read_safe_archive(bad);
  }
  for (std::size_t size = 0; size < good.size(); size += 7)
    (void)read_safe_archive(BytesView{good}.first(size));
}

}  // namespace
}  // namespace safekit::codec
