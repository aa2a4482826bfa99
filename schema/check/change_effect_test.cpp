// docs/dynamic-configuration.md and the program say the same of each field.
#include "schema/check/change_effect.h"

#include <filesystem>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "schema/codec/encode.h"

namespace safekit::check {
namespace {

/// Of each field the doc's word.
std::map<std::string, std::string> documented() {
  std::ifstream in{std::filesystem::path(SK_TESTDATA).parent_path() / "../../docs/dynamic-configuration.md"};
  EXPECT_TRUE(in.is_open());
  std::map<std::string, std::string> words;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| `")) continue;
    const std::size_t path_end = line.find('`', 3);
    const std::size_t word = line.find("| ", path_end) + 2;
    words[line.substr(3, path_end - 3)] = line.substr(word, line.find(" |", word) - word);
  }
  return words;
}

TEST(ChangeEffect, IsAsTheDocumentSaysForEveryField) {
  const auto words = documented();
  for (const auto& [path, word] : words) EXPECT_EQ(to_string(effect_of(path)), word) << path;
  spec::Module module;
  module.replication.emplace();
  const doc::Node spec = encode_spec(module, spec::Dialect::Ours, codec::Fill::EveryField);
  for (const doc::Node& field : spec.children) {
    if (field.key == "xml" || field.key == "replication") continue;
    EXPECT_TRUE(words.contains("spec." + field.key)) << field.key;
  }
  for (const doc::Node& field : spec.find("replication")->children) {
    EXPECT_TRUE(words.contains("spec.replication." + field.key)) << field.key;
  }
}

TEST(ChangeEffect, IsThatOfTheLongestPart) {
  EXPECT_EQ(effect_of("spec.scripts.files.start_prim"), Effect::Restart);
  EXPECT_EQ(effect_of("spec.scripts.logSizeKb"), Effect::InPlace);
  EXPECT_EQ(effect_of("spec.checkers.tcp[web].port"), Effect::InPlace);
  EXPECT_EQ(effect_of("spec.replication.directories[/srv/data].path"), Effect::Stop);
  EXPECT_EQ(effect_of("spec.replication"), Effect::Stop) << "it comes or goes as a whole";
  EXPECT_EQ(effect_of("spec.vipers"), Effect::Stop) << "a name that only begins alike";
}

}  // namespace
}  // namespace safekit::check
