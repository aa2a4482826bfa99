// Everything that reads a configuration from outside.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "e2e/fuzz/fuzz.h"
#include "schema/check/convert.h"
#include "schema/check/load.h"
#include "schema/check/unhonoured.h"

namespace safekit::fuzz {
namespace {

using check::Format;

constexpr Format kForms[] = {Format::Yaml, Format::Json, Format::Xml};

void read_module(BytesView input, Format format) {
  const check::LoadResult result = check::load(as_text(input), "f", {.format = format});
  if (result.has_errors()) return;
  for (const spec::Module* module : result.modules()) {
    (void)check::unhonoured(*module);
    for (const Format form : kForms) {
      // What was accepted must be accepted again in every form.
      const check::LoadResult back = check::load(check::print(*module, form), "again", {.format = form});
      SK_ASSERT(back.modules().size() == 1);
    }
  }
}

void read_yaml(BytesView input) { read_module(input, Format::Yaml); }
void read_json(BytesView input) { read_module(input, Format::Json); }
void read_xml(BytesView input) { read_module(input, Format::Xml); }
void read_archive(BytesView input) { (void)check::load_archive(input, "f.safe"); }

/// The examples, in the form.
template <Format form>
std::vector<Bytes> modules() {
  std::vector<Bytes> seeds;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{SK_EXAMPLES}) {
    const std::string ending = entry.path().extension().string();
    if (ending != ".yaml" && ending != ".xml") continue;
    std::ifstream file{entry.path()};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    const check::LoadResult result = check::load(text, entry.path().string());
    if (result.format == form) seeds.emplace_back(text.begin(), text.end());
    for (const spec::Module* module : result.modules()) {
      const std::string printed = check::print(*module, form);
      seeds.emplace_back(printed.begin(), printed.end());
    }
  }
  return seeds;
}

std::vector<Bytes> archives() {
  std::vector<Bytes> seeds;
  for (const Bytes& xml : modules<Format::Xml>()) {
    const auto packed = codec::write_safe_archive({{{"conf/userconfig.xml", std::string{as_text(xml)}}, {"bin/start_prim", "#!/bin/sh\n"}}});
    SK_ASSERT(packed);
    seeds.push_back(*packed);
  }
  return seeds;
}

constexpr std::array kParsers{
    Parser{.name = "yaml", .bytes_max = 4096, .read = read_yaml, .seeds = modules<Format::Yaml>},
    Parser{.name = "json", .bytes_max = 4096, .read = read_json, .seeds = modules<Format::Json>},
    Parser{.name = "xml", .bytes_max = 4096, .read = read_xml, .seeds = modules<Format::Xml>},
    Parser{.name = "archive", .bytes_max = 8192, .read = read_archive, .seeds = archives},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
