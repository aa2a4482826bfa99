// Everything that reads a configuration from outside.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "e2e/fuzz/fuzz.h"
#include "schema/check/convert.h"
#include "schema/check/load.h"
#include "schema/check/unhonoured.h"
#include "schema/rule/evaluate.h"
#include "schema/rule/lua.h"
#include "schema/rule/parse.h"

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

/// What was understood is written again and read again as the same.
void read_rules(BytesView input) {
  const auto text = as_text(input);
  if (rule::is_lua(text)) {
    (void)rule::run_lua(text);
    return;
  }
  for (const rule::Rule& one : rule::parse(text).rules) {
    const std::string written = rule::text_of(one);
    const rule::Parsed again = rule::parse(written);
    SK_ASSERT(again.problems.empty() && again.rules.size() == 1 && rule::text_of(again.rules[0]) == written);
    (void)rule::evaluate(one.condition, {.state = [](const rule::Resource&) { return rule::State::Down; },
                                         .ids = [](bool, const std::string&) { return std::vector<std::string>{"a", "b"}; }});
  }
}

std::vector<Bytes> rules() {
  std::vector<Bytes> seeds;
  for (const std::string_view text : {"r: if (tcp.web == down) then restart();", "--Lua Rules\nRules = Rules + { r = if_then('tcp.a', 'down', Action.stop) } Rules.disable('b')", "/* c */ r:if(!(a.? != up)||remote.b.*==unknown&&init==c.d)then swap();"}) {
    seeds.emplace_back(text.begin(), text.end());
  }
  return seeds;
}

constexpr std::array kParsers{
    Parser{.name = "yaml", .bytes_max = 4096, .read = read_yaml, .seeds = modules<Format::Yaml>},
    Parser{.name = "json", .bytes_max = 4096, .read = read_json, .seeds = modules<Format::Json>},
    Parser{.name = "xml", .bytes_max = 4096, .read = read_xml, .seeds = modules<Format::Xml>},
    Parser{.name = "rules", .bytes_max = 512, .read = read_rules, .seeds = rules},
    Parser{.name = "archive", .bytes_max = 8192, .read = read_archive, .seeds = archives},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
