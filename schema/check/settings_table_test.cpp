// docs/replication-settings.md and the program say the same of each setting.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "schema/check/load.h"
#include "schema/check/unhonoured.h"
#include "schema/codec/fields.h"
#include "schema/codec/xml_grammar.h"

namespace safekit::check {
namespace {

using Cells = std::vector<std::string>;

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" `");
  const std::size_t end = text.find_last_not_of(" `");
  return begin == std::string::npos ? "" : text.substr(begin, end + 1 - begin);
}

/// The rows of all tables of the file that have so many cells, without their heads.
std::vector<Cells> rows_of(std::size_t cells) {
  std::ifstream in{std::filesystem::path(SK_TESTDATA).parent_path() / "../../docs/replication-settings.md"};
  EXPECT_TRUE(in.is_open());
  std::vector<Cells> rows;
  std::string line;
  for (bool in_body = false; std::getline(in, line);) {
    const bool is_row = line.starts_with("| ");
    if (line.starts_with("|---")) in_body = true;
    if (!is_row && !line.starts_with("|---")) in_body = false;
    if (!is_row || !in_body) continue;
    Cells row;
    std::istringstream rest{line.substr(1)};
    for (std::string cell; std::getline(rest, cell, '|');) row.push_back(trimmed(cell));
    if (row.size() == cells) rows.push_back(std::move(row));
  }
  return rows;
}

struct Setting {
  std::string element{}, attribute{}, example{}, field{}, what{};
};
std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Cells& row : rows_of(6)) all.push_back({row[0], row[1], row[2], row[3], row[4]});
  return all;
}

std::string xml_of(const Setting& setting) {
  const std::string given = fmt::format("{}='{}'", setting.attribute, setting.example);
  const auto at = [&](const char* element) { return setting.element == element ? given : std::string{}; };
  std::string flow;
  if (setting.element == "flow") flow = fmt::format("<flow {}/>", given);
  if (setting.element == "server") flow = fmt::format("<flow><server {}/><server addr='10.1.0.2'/></flow>", given);
  std::string inside;
  if (setting.element == "notreplicated" || setting.element == "tocheck") inside = fmt::format("<{} {}/>", setting.element, given);
  const std::string directory = setting.attribute == "dir" ? given : "dir='/srv/a' " + at("replicated");
  // Old addresses and names of networks do not stand in one file.
  const char* const heartbeat = setting.element == "server"
                                    ? "<heartbeat><server addr='10.0.0.1'/><server addr='10.0.0.2'/></heartbeat>"
                                    : "<heartbeat name='default'/>";
  return fmt::format("<safe><service mode='mirror'><heart>{}</heart><rfs {}>{}<replicated {}>{}</replicated></rfs>"
                     "<user/></service></safe>", heartbeat, at("rfs"), flow, directory, inside);
}

const spec::Cluster& cluster() {
  static const LoadResult loaded = load(R"(<cluster><lans>
    <lan name="default"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/></lan>
    <lan name="repl"><node name="n1" addr="10.1.0.1"/><node name="n2" addr="10.1.0.2"/></lan></lans></cluster>)", "cluster.xml");
  return *loaded.cluster();
}

struct Said {
  std::string what{"honoured"};
  std::string text{};
};
Said said_of(const std::string& text, const std::string& file) {
  const LoadResult loaded = load(text, file, {.cluster = &cluster(), .module_name = "AM",
                                              .module_nodes = {NodeName{"n1"}, NodeName{"n2"}}, .module_id = 1});
  Said said;
  for (const doc::Problem& problem : loaded.problems) said.text += render(problem) + "\n";
  if (loaded.has_errors()) return {"refused", said.text};
  const auto modules = loaded.modules();
  if (modules.size() != 1) return {"refused", "no module"};
  for (const Unhonoured& one : unhonoured(*modules[0])) said.text += one.path + ": " + one.reason + "\n";
  if (!said.text.empty()) said.what = "warned";
  return said;
}

const codec::XmlElement* element_in(const codec::XmlElement& from, std::string_view name) {
  if (from.name == name) return &from;
  for (const codec::XmlChild& child : from.children) {
    if (const auto* found = element_in(*child.element, name)) return found;
  }
  return nullptr;
}

void add_attributes(const codec::XmlElement& element, std::set<std::string>& all) {
  for (const codec::XmlAttribute& attribute : element.attributes) {
    all.insert(fmt::format("{}/{}", element.name, attribute.name));
  }
  for (const codec::XmlChild& child : element.children) add_attributes(*child.element, all);
}

/// The names of the fields of a spec.
struct Names {
  std::set<std::string> all{};
  template <class Member>
  void operator()(const char* name, Member&, codec::Use = codec::Use::Optional) {
    all.insert(name);
  }
};

}  // namespace

TEST(SettingsTable, EachAttributeThatIsReadStandsInIt) {
  const auto* rfs = element_in(codec::service_grammar(), "rfs");
  ASSERT_NE(rfs, nullptr);
  std::set<std::string> read;
  add_attributes(*rfs, read);
  std::set<std::string> told;
  for (const Setting& setting : settings()) told.insert(fmt::format("{}/{}", setting.element, setting.attribute));
  EXPECT_EQ(read, told);
}

TEST(SettingsTable, EachFieldOfTheSpecStandsInIt) {
  spec::Replication replication;
  Names names;
  codec::fields(names, replication);
  std::set<std::string> told;
  for (const Setting& setting : settings()) {
    if (!setting.field.empty()) told.insert(setting.field);
  }
  for (const Cells& row : rows_of(4)) told.insert(row[0]);
  EXPECT_EQ(names.all, told);
}

TEST(SettingsTable, IsTrueOfEachAttribute) {
  const std::string plain = xml_of({});
  ASSERT_EQ(said_of(plain, "userconfig.xml").what, "honoured") << said_of(plain, "userconfig.xml").text;
  for (const Setting& setting : settings()) {
    const Said said = said_of(xml_of(setting), "userconfig.xml");
    EXPECT_EQ(said.what, setting.what) << setting.element << " " << setting.attribute << "\n" << said.text;
    const bool named = said.text.find(setting.attribute) != std::string::npos ||
                       (!setting.field.empty() && said.text.find(setting.field) != std::string::npos);
    EXPECT_EQ(named, setting.what != "honoured") << setting.element << " " << setting.attribute << "\n" << said.text;
  }
}

TEST(SettingsTable, IsTrueOfEachFieldWithoutAnAttribute) {
  for (const Cells& row : rows_of(4)) {
    const Said said = said_of(fmt::format("apiVersion: safekit/v1\nkind: Module\nmetadata: {{name: AM}}\nspec:\n  mode: mirror\n  id: 1\n"
                                          "  nodes: [n1, n2]\n  heartbeats: {{lans: [default]}}\n  replication:\n    {}: {}\n"
                                          "    directories: [/srv/a]\n", row[0], row[1]), "module.yaml");
    EXPECT_EQ(said.what, row[2]) << row[0] << "\n" << said.text;
  }
}

}  // namespace safekit::check
