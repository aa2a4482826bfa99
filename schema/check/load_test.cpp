#include "schema/check/load.h"

#include <gtest/gtest.h>

namespace safekit::check {
namespace {

std::string rendered(const LoadResult& result) {
  std::string text;
  for (const doc::Problem& problem : result.problems) text += render(problem) + "\n";
  return text;
}

constexpr std::string_view kCluster = R"(apiVersion: safekit/v1
kind: Cluster
metadata: {name: demo}
spec:
  lans:
    - name: default
      nodes: {node1: 10.0.0.11, node2: 10.0.0.12, node3: 10.0.0.13}
    - name: repl
      nodes: {node1: 10.1.0.11, node2: 10.1.0.12}
)";

TEST(Load, TakesAClusterAndAModuleFromOneFile) {
  const LoadResult result = load(std::string{kCluster} + R"(---
apiVersion: safekit/v1
kind: Module
metadata: {name: db}
spec:
  mode: mirror
  id: 1
  nodes: [node1, node2]
  heartbeats: [default, repl]
)",
                                 "all.yaml");
  EXPECT_EQ(rendered(result), "");
  ASSERT_NE(result.cluster(), nullptr);
  ASSERT_EQ(result.modules().size(), 1u);
  EXPECT_EQ(result.modules()[0]->metadata.name, "db");
}

TEST(Load, JudgesTheModuleAgainstTheCluster) {
  const LoadResult result = load(std::string{kCluster} + R"(---
apiVersion: safekit/v1
kind: Module
metadata: {name: db}
spec:
  mode: mirror
  id: 1
  nodes: [node1, nod3]
  defaultPrimary: node2
  heartbeats: [defualt, repl]
)",
                                 "all.yaml");
  EXPECT_EQ(
      rendered(result),
      "all.yaml:17:18: error: node nod3 is not defined in the cluster configuration (did you mean 'node3'?) "
      "[node-unknown]\n"
      "all.yaml:18:19: error: defaultprim 'node2' is neither alone, lastprim nor a node of the module (did "
      "you "
      "mean 'node1'?) [default-primary]\n"
      "all.yaml:19:16: error: network defualt is not defined in the cluster configuration (did you mean "
      "'default'?) [network-unknown]\n"
      "all.yaml:19:25: error: node nod3 has no address on network repl (add it in the cluster configuration, "
      "or "
      "take another network) [node-not-on-network]\n");
}

TEST(Load, KnowsTheFormatByEndingThenByContent) {
  EXPECT_EQ(format_of("<a/>", "x.yaml"), Format::Yaml);
  EXPECT_EQ(format_of(" \n<a/>", "-"), Format::Xml);
  EXPECT_EQ(format_of("{}", "stdin"), Format::Json);
  EXPECT_EQ(format_of("a: 1", ""), Format::Yaml);
  const LoadResult result = load("{\"apiVersion\": \"safekit/v1\",\n \"kind\": \"Cluter\"}", "c.json");
  EXPECT_EQ(rendered(result), "c.json:2:10: error: unknown kind 'Cluter' (did you mean 'Cluster'?) [kind]\n");
}

TEST(Load, AWrongModeIsTheOnlyThingSaidAboutTheMode) {
  const LoadResult result = load(
      "apiVersion: safekit/v1\nkind: Module\nmetadata: {name: w}\nspec:\n  mode: frm\n  farm: [default]\n",
      "m.yaml");
  EXPECT_EQ(result.problems.size(), 1u) << rendered(result);
}

TEST(Load, AnEmptyFileSaysHowToStart) {
  EXPECT_EQ(
      rendered(load("", "m.yaml")),
      "m.yaml:1:1: error: the file is empty (start it with 'apiVersion: safekit/v1' and 'kind: Module') "
      "[empty]\n");
}

TEST(Load, XmlTakesNameNodesAndIdFromTheCaller) {
  const LoadOptions options{
      .module_name = "m", .module_nodes = {NodeName{"a"}, NodeName{"b"}}, .module_id = 4};
  const LoadResult result =
      load("<safe><service mode=\"mirror\"><heart><heartbeat name=\"default\"/></heart></service></safe>",
           "userconfig.xml", options);
  EXPECT_EQ(rendered(result), "");
  EXPECT_EQ(result.modules().at(0)->metadata.name, "m");
  EXPECT_EQ(heart_port(*result.modules()[0]), 8891);
}

TEST(Load, TakesASafeArchiveWithItsScripts) {
  const codec::SafeArchive packed{
      .files = {{"conf/userconfig.xml", "<safe><service mode=\"light\"><user/></service></safe>"},
                {"bin/start_both", "#!/bin/sh\n"},
                {"manifest.xml", "<old/>"}}};
  codec::SafeArchive files;
  const auto bytes = codec::write_safe_archive(packed);
  const LoadResult result = load_archive(*bytes, "m.safe", {.module_name = "m"}, &files);
  EXPECT_EQ(rendered(result), "");
  EXPECT_EQ(result.modules().at(0)->scripts->files.at("start_both"), "#!/bin/sh\n");
  EXPECT_EQ(files, packed);

  codec::SafeArchive no_user = packed;
  no_user.files["conf/userconfig.xml"] = "<safe><service mode=\"light\" bot=\"on\"/></safe>";
  EXPECT_EQ(
      rendered(load_archive(*codec::write_safe_archive(no_user), "m.safe")),
      "m.safe/conf/userconfig.xml:1:1: warning: <user> absent, scripts will not be executed (add <user/>) "
      "[no-user]\n"
      "m.safe/conf/userconfig.xml:1:29: error: unknown attribute bot in tag <service> (did you mean 'boot'?) "
      "[unknown-attribute]\n");
  EXPECT_EQ(rendered(load_archive(*codec::write_safe_archive({.files = {{"x", "y"}}}), "m.safe")),
            "m.safe: error: the archive has no conf/userconfig.xml (pack the module's folders conf and bin) "
            "[archive]\n");
  EXPECT_TRUE(load_archive(as_bytes("PK"), "m.safe").has_errors());
}

}  // namespace
}  // namespace safekit::check
