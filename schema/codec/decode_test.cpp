#include "schema/codec/decode.h"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "schema/codec/encode.h"
#include "schema/codec/suggest.h"
#include "schema/doc/json.h"
#include "schema/doc/yaml.h"

namespace safekit::codec {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream in{std::string{SK_TESTDATA} + "/" + name};
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string errors_of(const doc::Problems& problems) {
  std::string text;
  for (const doc::Problem& problem : problems.list()) text += to_string(problem) + "\n";
  return text;
}

spec::Module module_of(const std::string& text) {
  doc::Problems problems{"m.yaml"};
  const auto documents = doc::parse_yaml(text, problems);
  EXPECT_EQ(documents.size(), 1u) << errors_of(problems);
  const auto decoded = decode(documents.at(0), problems);
  EXPECT_EQ(errors_of(problems), "");
  return std::get<spec::Module>(decoded->object);
}

template <class T>
T again(const T& object) {
  doc::Problems problems{"again"};
  const auto documents = doc::parse_yaml(doc::print_yaml(encode(object)), problems);
  const auto decoded = decode(documents.at(0), problems);
  EXPECT_EQ(errors_of(problems), "") << doc::print_yaml(encode(object));
  return std::get<T>(decoded->object);
}

TEST(Decode, ReadsThePostgresqlExample) {
  const spec::Module module = module_of(read_file("postgresql.yaml"));
  EXPECT_EQ(module.metadata.name, "postgresql");
  EXPECT_EQ(module.mode, spec::Mode::Mirror);
  ASSERT_EQ(module.nodes.size(), 2u);
  EXPECT_EQ(module.nodes[1].str(), "node2");
  EXPECT_EQ(module.boot.policy, spec::BootPolicy::Auto);
  ASSERT_TRUE(module.heart);
  EXPECT_EQ(module.heart->timeout, seconds{1});
  EXPECT_EQ(ident_of(*module.heart, module.heart->lans[1]), "replication");
  ASSERT_TRUE(module.vip);
  EXPECT_EQ(module.vip->interfaces.at(0).addresses.at(0).address, "10.0.0.50");
  EXPECT_EQ(where_of(module, module.vip->interfaces[0].addresses[0]), spec::Where::OneSideAlias);
  ASSERT_TRUE(module.replication);
  EXPECT_EQ(module.replication->secondary_ack, spec::SecondaryAck::Durable);
  EXPECT_EQ(module.replication->directories.at(0).to_check, (std::vector<std::string>{"PG_VERSION"}));
  EXPECT_EQ(flow_lan(module).str(), "replication");
  ASSERT_TRUE(module.scripts);
  EXPECT_EQ(module.scripts->directory, "scripts");
  EXPECT_EQ(module.scripts->environment.at(1), (spec::Variable{"PGPORT", "5432"}));
  ASSERT_TRUE(module.errd);
  EXPECT_EQ(class_of(module, module.errd->processes.at(0)), "prim");
  EXPECT_EQ(
      generated_rules(module),
      (std::vector<spec::GeneratedRule>{{"t_postgresql", "tcp.postgresql", spec::CheckerAction::Restart}}));
  EXPECT_EQ(generated_ip_checkers(module).at(0).ident, "10.0.0.50");
  EXPECT_EQ(heart_port(module), 8888);
  EXPECT_EQ(replication_port(module), 5600);
  EXPECT_EQ(again(module), module);
}

TEST(Decode, ReadsTheClusterExample) {
  doc::Problems problems{"cluster.yaml"};
  const auto documents = doc::parse_yaml(read_file("cluster.yaml"), problems);
  const auto decoded = decode(documents.at(0), problems);
  EXPECT_EQ(errors_of(problems), "");
  const auto& cluster = std::get<spec::Cluster>(decoded->object);
  EXPECT_EQ(nodes_of(cluster).size(), 2u);
  EXPECT_EQ(cluster.lans.at(1).nodes.at(1).address, "10.1.0.12");
  EXPECT_EQ(command_lan(cluster)->name.str(), "default");
  EXPECT_EQ(again(cluster), cluster);
}

TEST(Decode, TakesNatAddressesInBothForms) {
  const std::string head =
      "apiVersion: safekit/v1\nkind: Cluster\nmetadata: {name: c}\nspec:\n  lans:\n  - name: wan\n";
  doc::Problems problems{"c.yaml"};
  const auto a =
      decode(doc::parse_yaml(head + "    nodes:\n      a: {address: x.example, localAddress: 10.0.0.1}\n"
                                    "      b: 10.0.0.2\n",
                             problems)
                 .at(0),
             problems);
  const auto b = decode(
      doc::parse_yaml(head + "    nodes:\n    - {name: a, address: x.example, localAddress: 10.0.0.1}\n"
                             "    - {name: b, address: 10.0.0.2}\n",
                      problems)
          .at(0),
      problems);
  EXPECT_EQ(errors_of(problems), "");
  EXPECT_EQ(std::get<spec::Cluster>(a->object), std::get<spec::Cluster>(b->object));
  EXPECT_EQ(again(std::get<spec::Cluster>(a->object)), std::get<spec::Cluster>(a->object));
}

TEST(Decode, GivesEveryErrorAtOnceWithItsPlaceAndTheNearestName) {
  doc::Problems problems{"m.yaml"};
  const auto documents = doc::parse_yaml(
      "apiVersion: safekit/v1\n"
      "kind: Module\n"
      "metadata: {name: x}\n"
      "spec:\n"
      "  mode: miror\n"
      "  maxLopo: 3\n"
      "  loopInterval: 24\n"
      "  heartbeats:\n"
      "    lans:\n"
      "      - {name: default, puls: 1s}\n"
      "    timeout: 1h30m\n"
      "  checkers:\n"
      "    tcp:\n"
      "      - {ident: a, address: h, port: 70000}\n"
      "      - {ident: b, port: 1}\n"
      "  failover: maybe\n"
      "  nodes: node1\n",
      problems);
  const auto decoded = decode(documents.at(0), problems);
  problems.sort();
  EXPECT_EQ(
      errors_of(problems),
      "m.yaml:5:9: error: invalid value 'miror' for spec.mode (expected: mirror|farm|light) (did you mean "
      "'mirror'?) [invalid-value]\n"
      "m.yaml:6:3: error: unknown field 'maxLopo' in spec (did you mean 'maxLoop'?) [unknown-field]\n"
      "m.yaml:7:17: error: invalid value '24' for spec.loopInterval (expected: a time such as 500ms, 30s, 2m "
      "or "
      "24h) [invalid-value]\n"
      "m.yaml:10:25: error: unknown field 'puls' in spec.heartbeats.lans[0] (did you mean 'pulse'?) "
      "[unknown-field]\n"
      "m.yaml:11:14: error: invalid value '1h30m' for spec.heartbeats.timeout (expected: a time such as "
      "500ms, "
      "30s, 2m or 24h) [invalid-value]\n"
      "m.yaml:14:38: error: invalid value '70000' for spec.checkers.tcp[0].port (expected: a whole number "
      "from 0 "
      "to 65535) [invalid-value]\n"
      "m.yaml:15:9: error: spec.checkers.tcp[1].address has no value (add 'address: ...') [no-value]\n"
      "m.yaml:16:13: error: invalid value 'maybe' for spec.failover (expected: true or false) "
      "[invalid-value]\n"
      "m.yaml:17:10: error: invalid value 'node1' for spec.nodes (expected: a list) [invalid-value]\n");
}

TEST(Decode, SaysWhatIsWrongWithTheFrame) {
  doc::Problems problems{"m.yaml"};
  EXPECT_FALSE(decode(doc::parse_yaml("apiversion: safekit/v1\nkind: module\n", problems).at(0), problems));
  EXPECT_EQ(errors_of(problems),
            "m.yaml:1:1: error: unknown field 'apiversion' (did you mean 'apiVersion'?) [unknown-field]\n"
            "m.yaml:1:1: error: 'apiVersion' is missing (write 'apiVersion: safekit/v1') [api-version]\n"
            "m.yaml:2:7: error: unknown kind 'module' (did you mean 'Module'?) [kind]\n");
}

TEST(Decode, FarmInterfacesAreDirectedUnlessSaid) {
  const std::string head =
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: web}\nspec:\n  mode: farm\n"
      "  farm: [default]\n";
  const spec::Module module =
      module_of(head +
                "  virtualIPs:\n  - 10.0.0.9\n  - {address: 10.0.0.8, interface: eth1}\n"
                "  - {address: '10.0.0.7', check: false}\n");
  ASSERT_EQ(module.vip->interfaces.size(), 2u);
  EXPECT_EQ(module.vip->interfaces[0].type, spec::InterfaceType::VmacDirected);
  EXPECT_EQ(module.vip->interfaces[0].addresses.size(), 2u);
  EXPECT_EQ(module.vip->interfaces[1].name, "eth1");
  EXPECT_EQ(again(module), module);
  const spec::Module real =
      module_of(head + "  vip:\n    interfaces:\n    - {type: real, addresses: [10.0.0.9]}\n");
  EXPECT_EQ(again(real), real);
}

TEST(Decode, WhatIsNotReplicatedIsAPathOrARegex) {
  const spec::Module module = module_of(
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: x}\nspec:\n  mode: mirror\n  replication:\n"
      "    directories:\n    - /plain\n    - {path: /d, notReplicated: [tmp, {regex: '!x$'}]}\n");
  EXPECT_EQ(module.replication->directories.at(0).path, "/plain");
  EXPECT_EQ(module.replication->directories.at(1).not_replicated,
            (std::vector<spec::NotReplicated>{{"tmp", ""}, {"", "!x$"}}));
  EXPECT_EQ(again(module), module);
}

TEST(Decode, OnlyTextIsText) {
  const std::string head =
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: x}\nspec:\n  mode: light\n";
  doc::Problems problems{"m.yaml"};
  const auto documents = doc::parse_yaml(
      head + "  defaultPrimary: \"a\\x01\"\n  scripts:\n    files: {s: \"\\e[1m\"}\n", problems);
  const auto decoded = decode(documents.at(0), problems);
  EXPECT_EQ(errors_of(problems),
            "m.yaml:6:19: error: spec.defaultPrimary has a character that is no text (remove it) "
            "[control-character]\n");
  const auto& module = std::get<spec::Module>(decoded->object);
  EXPECT_EQ(module.scripts->files.at("s"), "\x1b[1m") << "a script may hold an escape";
  EXPECT_EQ(again(module), module);
  doc::Problems latin{"m.yaml"};
  (void)doc::parse_yaml("a: caf\xe9\n", latin);
  EXPECT_EQ(errors_of(latin),
            "m.yaml:1:4: error: the text is not UTF-8 (save the file as UTF-8) [not-utf8]\n");
}

TEST(Decode, PrintedObjectsAreReadAgain) {
  spec::Module module = module_of(read_file("postgresql.yaml"));
  module.metadata.generation = 7;
  module.metadata.resource_version = 41;
  doc::Problems problems{"m.json"};
  doc::Node document = encode(module);
  document.add("status", doc::Node::map());
  const auto decoded = decode(doc::parse_json(doc::print_json(document), problems).at(0), problems);
  EXPECT_EQ(errors_of(problems), "");
  EXPECT_EQ(std::get<spec::Module>(decoded->object), module);
}

TEST(Encode, DigestIgnoresTheStoresFieldsOnly) {
  spec::Module module = module_of(read_file("postgresql.yaml"));
  const Digest128 before = content_digest(module);
  module.metadata.generation = 9;
  EXPECT_EQ(content_digest(module), before);
  module.max_loop = 4;
  EXPECT_NE(content_digest(module), before);
}

TEST(Suggest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest("hearbeat", {"heart", "heartbeat", "farm"}), "heartbeat");
  EXPECT_EQ(nearest("PRIM", {"prim", "both"}), "prim");
  EXPECT_EQ(nearest("zzz", {"prim", "both"}), "");
}

}  // namespace
}  // namespace safekit::codec
