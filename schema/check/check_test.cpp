#include <gtest/gtest.h>

#include "schema/check/change_effect.h"
#include "schema/check/convert.h"
#include "schema/check/diff.h"
#include "schema/check/load.h"
#include "schema/check/unhonoured.h"

namespace safekit::check {
namespace {

spec::Module sample() {
  spec::Module module;
  module.metadata.name = "db";
  module.id = 1;
  module.nodes = {NodeName{"a"}, NodeName{"b"}};
  module.heart.emplace().lans.push_back({.lan = LanName{"default"}});
  module.checkers.tcp.push_back({.ident = "t", .address = "x", .port = 1});
  module.checkers.tcp.push_back({.ident = "u", .address = "y", .port = 2});
  module.replication.emplace().directories.push_back({.path = "/d"});
  module.scripts.emplace();
  return module;
}

std::string lines(const std::vector<FieldChange>& changes) {
  std::string text;
  for (const FieldChange& change : changes) text += to_string(change) + "\n";
  return text;
}

TEST(Diff, NamesEachFieldThatChanged) {
  const spec::Module before = sample();
  spec::Module after = before;
  after.metadata.labels["tier"] = "gold";
  after.metadata.generation = 5;
  after.max_loop = 5;
  after.checkers.tcp.erase(after.checkers.tcp.begin());
  after.checkers.tcp[0].port = 3;
  after.replication->secondary_ack = spec::SecondaryAck::Received;
  after.nodes[1] = NodeName{"c"};
  after.scripts->files["start_prim"] = "#!/bin/sh\nexit 0\n";
  EXPECT_EQ(lines(diff(before, after)),
            "+ metadata.labels.tier: gold\n"
            "- spec.checkers.tcp[t]: "
            "{\"ident\":\"t\",\"address\":\"x\",\"port\":1,\"interval\":\"10s\",\"timeout\":\"5s\"}\n"
            "~ spec.checkers.tcp[u].port: 2 -> 3\n"
            "~ spec.maxLoop: 3 -> 5\n"
            "~ spec.nodes: [\"a\",\"b\"] -> [\"a\",\"c\"]\n"
            "~ spec.replication.secondaryAck: durable -> received\n"
            "+ spec.scripts.files.start_prim: #!/bin/sh... (2 lines)\n");
  EXPECT_EQ(lines(diff(before, before)), "");
  EXPECT_EQ(lines(needing_stop(diff(before, after))), "~ spec.nodes: [\"a\",\"b\"] -> [\"a\",\"c\"]\n");
}

TEST(Diff, OnlyTheSpecMakesANewGeneration) {
  const spec::Module before = sample();
  spec::Module after = before;
  after.metadata.labels["x"] = "y";
  after.xml.text["service@boot"] = "ignore";
  EXPECT_FALSE(spec_differs(before, after));
  after.failover = false;
  EXPECT_TRUE(spec_differs(before, after));
}

TEST(Convert, GoesRoundThroughEveryForm) {
  const std::string yaml = print(sample(), Format::Yaml);
  std::string text = yaml;
  std::string name = "a.yaml";
  for (const auto& [format, next] : {std::pair{Format::Json, "b.json"}, std::pair{Format::Xml, "c.xml"},
                                     std::pair{Format::Json, "d.json"}, std::pair{Format::Yaml, "e.yaml"}}) {
    const Converted converted = convert(text, name, format);
    EXPECT_TRUE(converted.problems.empty()) << render(converted.problems.front()) << text;
    text = converted.text;
    name = next;
  }
  const auto back = load(text, "e.yaml");
  spec::Module module = *back.modules().at(0);
  module.xml = {};
  EXPECT_EQ(module, sample()) << text;
}

TEST(Convert, RefusesWhatHasErrorsOrDoesNotFit) {
  EXPECT_EQ(convert("<safe><service/></safe>", "a.xml", Format::Yaml).text, "");
  const std::string two = "---\n" + print(sample(), Format::Yaml) + "---\n" + [] {
    spec::Module other = sample();
    other.metadata.name = "other";
    other.id = 2;
    other.replication->directories[0].path = "/e";
    return print(other, Format::Yaml);
  }();
  EXPECT_NE(convert(two, "a.yaml", Format::Yaml).text, "");
  const Converted xml = convert(two, "a.yaml", Format::Xml);
  EXPECT_EQ(xml.text, "");
  EXPECT_EQ(xml.problems.back().rule, "several-objects");
}

TEST(Unhonoured, SaysNothingOfWhatIsHonoured) {
  spec::Module module = sample();
  module.vip.emplace().interfaces.push_back({.addresses = {{.address = "10.0.0.1"}}});
  module.errd.emplace().processes.push_back({.name = "postgres", .action = "restart"});
  module.replication->durability = spec::Durability::Write;
  module.replication->sync_at = "0 1 * * *";
  module.replication->sync_delta = hours{25};
  module.default_primary = "a";
  module.failover = false;
  module.boot.policy = spec::BootPolicy::Auto;
  module.errd->processes.push_back({.name = "web", .service = true, .action = "restart", .restart_services = {"web"}});
  module.errd->processes.push_back({.name = "batch", .watch_class = "mine", .action = "mend"});
  module.failover_rules.emplace().period = seconds{30};
  module.failover_rules->rules = {"r: if (tcp.x == down) then stop();", "--Lua Rules\nRules.disable('ip_failure')"};
  EXPECT_EQ(unhonoured(module), std::vector<Unhonoured>{});
}

TEST(Unhonoured, NamesTheFieldAndWhatHappensInstead) {
  spec::Module module = sample();
  module.replication->connections = 17;
  module.automatic_reboot = true;
  const auto list = unhonoured(module);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].path, "spec.automaticReboot");
  EXPECT_EQ(list[1].path, "spec.replication.connections");
  EXPECT_EQ(list[1].reason, "16 connections are used");
}

}  // namespace
}  // namespace safekit::check
