#include "controllers/simulate/tree.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "schema/check/load.h"

namespace safekit::sim {
namespace {

using status::Readiness;
using status::Role;
using Kind = Happening::Kind;

constexpr const char* kCluster = R"(apiVersion: safekit/v1
kind: Cluster
metadata: {name: cluster}
spec:
  lans:
  - name: net0
    nodes: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]
  - name: net1
    nodes: [{name: a, address: 10.0.1.1}, {name: b, address: 10.0.1.2}]
---
apiVersion: safekit/v1
kind: Module
metadata: {name: db}
spec:
  mode: mirror
  id: 1
  nodes: [a, b]
  heartbeats: {timeout: 2s, lans: [net0, net1]}
  replication: {lan: net1, directories: [/data]}
  virtualIPs: [10.0.0.9]
  errd: {poll: 1s, processes: [{name: dbd}]}
  scripts: {files: {start_prim: "#!/bin/sh\n", stop_prim: "#!/bin/sh\n"}}
  checkers:
    tcp: [{ident: port, address: 10.0.0.1, port: 5432, interval: 1s}]
)";

Situation situation_of(const std::string& text = kCluster) {
  Situation situation;
  const check::LoadResult loaded = check::load(text, "cluster.yaml", {});
  for (const doc::Problem& problem : loaded.problems) {
    EXPECT_NE(problem.severity, doc::Severity::Error) << check::render(problem);
  }
  for (const codec::Decoded& decoded : loaded.objects) {
    if (const auto* cluster = std::get_if<spec::Cluster>(&decoded.object)) situation.cluster = *cluster;
    if (const auto* module = std::get_if<spec::Module>(&decoded.object)) situation.module = *module;
  }
  for (std::size_t side = 0; side < 2; ++side) {
    const InterfaceAddress own{.ip = parse_ip(side == 0 ? "10.0.0.1" : "10.0.0.2").value(), .prefix_length = 24};
    situation.nodes[side] = {.name = NodeName{side == 0 ? "a" : "b"},
                             .up = true,
                             .role = side == 0 ? Role::Prim : Role::Second,
                             .readiness = Readiness::Ready,
                             .up_to_date = true,
                             .last_primary = side == 0,
                             .interfaces = {{.index = 2, .name = "eth0", .up = true, .carrier = true, .addresses = {own}}}};
  }
  return situation;
}

void set(NodeNow& node, Role role) {
  node.role = role;
  node.readiness = role == Role::Stop || role == Role::Wait ? Readiness::NotReady : Readiness::Ready;
}

/// The roles that a node goes through.
std::vector<std::string> states(const Forecast& forecast, const char* node) {
  std::vector<std::string> found;
  for (const Step& step : forecast.steps) {
    if (step.is_state && step.node.str() == node) found.push_back(step.text.substr(std::string_view{"Local state "}.size()));
  }
  return found;
}

using States = std::vector<std::string>;

}  // namespace

TEST(Forecast, ALostNodeIsFollowedAfterTheTimeout) {
  const auto result = forecast(situation_of(), {.kind = Kind::Node, .name = "a"});
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->end, (std::array<std::string, 2>{"off", "ALONE Ready"}));
  const States way = states(*result, "b");
  ASSERT_GE(way.size(), 2U);
  EXPECT_EQ(States(way.end() - 2, way.end()), (States{"ALONE Transient", "ALONE Ready"}));
  ASSERT_TRUE(result->outage.has_value());
  EXPECT_GE(*result->outage, milliseconds{1900});
  EXPECT_LE(*result->outage, seconds{5});
  EXPECT_TRUE(result->serves);
}

TEST(Forecast, TheSameQuestionHasTheSameAnswer) {
  const Happening swap{.kind = Kind::Command, .name = "swap", .node = NodeName{"a"}};
  const auto once = forecast(situation_of(), swap);
  const auto again = forecast(situation_of(), swap);
  ASSERT_TRUE(once.has_value() && again.has_value());
  EXPECT_EQ(once->steps, again->steps);
  EXPECT_EQ(once->end, (std::array<std::string, 2>{"SECOND Ready", "PRIM Ready"}));
}

TEST(Forecast, TheSecondNodeMayBeThePrimary) {
  Situation situation = situation_of();
  std::swap(situation.nodes[0].role, situation.nodes[1].role);
  const auto result = forecast(situation, {.kind = Kind::Command, .name = "stop", .node = NodeName{"b"}});
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->end, (std::array<std::string, 2>{"ALONE Ready", "STOP NotReady"}));
}

TEST(Forecast, OneNetworkOfTwoIsNoReasonToTakeOver) {
  const auto result = forecast(situation_of(), {.kind = Kind::Network, .name = "net0"});
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->end, (std::array<std::string, 2>{"PRIM Ready", "SECOND Ready"}));
  EXPECT_EQ(result->outage, Duration{});
  const auto all = forecast(situation_of(), {.kind = Kind::Network, .name = "all"});
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->end, (std::array<std::string, 2>{"ALONE Ready", "ALONE Ready"})) << "there is no witness";
}

TEST(Forecast, AWitnessDecidesNothingWhileTheNodesHearEachOther) {
  std::string text{kCluster};
  text += "    splitBrain: {ident: w, exec: ping, witnesses: [10.0.0.254]}\n";
  const auto away = forecast(situation_of(text), {.kind = Kind::Witness});
  ASSERT_TRUE(away.has_value()) << away.error().what;
  EXPECT_EQ(away->end, (std::array<std::string, 2>{"PRIM Ready", "SECOND Ready"}));
  EXPECT_EQ(away->outage, Duration{});
}

/// With a witness that grants leases.
std::string leased() {
  return std::string{kCluster} + "    splitBrain: {ident: w, exec: http, witnesses: [\"https://10.0.0.254/" + std::string(64, 'a') + "\"]}\n";
}

TEST(Forecast, ALeaseLeavesOneOfTwoThatAreCutOff) {
  const auto cut = forecast(situation_of(leased()), {.kind = Kind::Network, .name = "all"});
  ASSERT_TRUE(cut.has_value()) << cut.error().what;
  const std::multiset<std::string> end{cut->end.begin(), cut->end.end()};
  EXPECT_EQ(end, (std::multiset<std::string>{"ALONE Ready", "WAIT NotReady"}));
  EXPECT_TRUE(cut->serves);
  const auto killed = forecast(situation_of(leased()), {.kind = Kind::Node, .name = "a"});
  ASSERT_TRUE(killed.has_value()) << killed.error().what;
  EXPECT_EQ(killed->end, (std::array<std::string, 2>{"off", "ALONE Ready"}));
}

TEST(Forecast, WithoutTheWitnessNeitherOfTwoThatAreCutOffGoesOn) {
  Situation situation = situation_of(leased());
  for (NodeNow& node : situation.nodes) node.down = {"splitbrain.w"};
  const auto cut = forecast(situation, {.kind = Kind::Network, .name = "all"});
  ASSERT_TRUE(cut.has_value()) << cut.error().what;
  EXPECT_EQ(cut->end, (std::array<std::string, 2>{"WAIT NotReady", "WAIT NotReady"}));
  EXPECT_FALSE(cut->serves);
  const auto lost = forecast(situation_of(leased()), {.kind = Kind::Witness});
  ASSERT_TRUE(lost.has_value()) << lost.error().what;
  EXPECT_EQ(lost->end, (std::array<std::string, 2>{"PRIM Ready", "SECOND Ready"}));
  EXPECT_EQ(lost->outage, Duration{});
}

TEST(Forecast, OfTwoThatAreCutOffOneIsSwitchedOff) {
  Situation situation = situation_of(std::string{kCluster} + "    splitBrain: {ident: w, exec: fence, witnesses: [/sbin/off, -x]}\n");
  const auto cut = forecast(situation, {.kind = Kind::Network, .name = "all"});
  ASSERT_TRUE(cut.has_value()) << cut.error().what;
  EXPECT_EQ(cut->end, (std::array<std::string, 2>{"ALONE Ready", "off"}));
  EXPECT_NE(cut->notes.at(0).find("is taken to do so"), std::string::npos);
  for (NodeNow& node : situation.nodes) node.down = {"splitbrain.w"};
  const auto fails = forecast(situation, {.kind = Kind::Network, .name = "all"});
  ASSERT_TRUE(fails.has_value()) << fails.error().what;
  EXPECT_EQ(fails->end, (std::array<std::string, 2>{"WAIT NotReady", "WAIT NotReady"}));
}

TEST(Forecast, FailoverOffIsAsItIsNow) {
  Situation situation = situation_of();
  for (NodeNow& node : situation.nodes) node.settings.failover = false;
  const auto result = forecast(situation, {.kind = Kind::Node, .name = "a"});
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_FALSE(result->serves);
  EXPECT_NE(result->end[1], "ALONE Ready");
}

TEST(Forecast, AProcessIsRestartedAndACheckerFollowsItsRule) {
  const auto process = forecast(situation_of(), {.kind = Kind::Process, .name = "dbd", .node = NodeName{"a"}});
  ASSERT_TRUE(process.has_value()) << process.error().what;
  const auto says = [](const Forecast& result, std::string_view text) {
    return std::ranges::any_of(result.steps, [&](const Step& step) { return step.text.find(text) != std::string::npos; });
  };
  EXPECT_TRUE(says(*process, "errd"));
  EXPECT_TRUE(process->serves);
  const auto checker = forecast(situation_of(), {.kind = Kind::Checker, .name = "tcp.port", .node = NodeName{"a"}});
  ASSERT_TRUE(checker.has_value()) << checker.error().what;
  EXPECT_TRUE(says(*checker, "t_port"));
}

TEST(Forecast, StatesOfNowAreSetUp) {
  struct Now {
    Role a;
    Role b;
    bool b_up;
  };
  for (const Now& now : {Now{Role::Alone, Role::Stop, true}, Now{Role::Alone, Role::Stop, false}, Now{Role::Stop, Role::Stop, true}}) {
    Situation situation = situation_of();
    set(situation.nodes[0], now.a);
    set(situation.nodes[1], now.b);
    situation.nodes[1].up = now.b_up;
    const auto result = forecast(situation, {.kind = Kind::Command, .name = "stop", .node = NodeName{"a"}});
    ASSERT_TRUE(result.has_value()) << result.error().what;
    EXPECT_EQ(result->end[0], "STOP NotReady");
  }
}

TEST(Forecast, AStaleNodeWaitsForTheNewestCopy) {
  Situation situation = situation_of();
  set(situation.nodes[0], Role::Stop);
  set(situation.nodes[1], Role::Wait);
  const auto result = forecast(situation, {.kind = Kind::Command, .name = "start", .node = NodeName{"a"}});
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->end, (std::array<std::string, 2>{"PRIM Ready", "SECOND Ready"}));
}

TEST(Forecast, AnAppliedSpecIsWhatFails) {
  Situation situation = situation_of();
  Happening apply{.kind = Kind::Apply, .spec = situation.module};
  apply.spec->errd->processes.push_back({.name = "missing"});
  const auto result = forecast(situation, apply);
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_FALSE(result->steps.empty()) << "no such process runs";
}

TEST(Forecast, ANodeIsTheSameAfterItsWayToTheOther) {
  NodeNow now = situation_of().nodes[1];
  now.down = {"tcp.port"};
  now.silent = {LanName{"net1"}};
  now.settings.failover = false;
  const auto back = node_now_from(to_tree(now));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, now);
  EXPECT_FALSE(node_now_from(doc::Node::map()).has_value());
}

TEST(Forecast, WhatCannotBeIsRefused) {
  Situation moving = situation_of();
  moving.nodes[1].readiness = Readiness::Transient;
  const auto refused = forecast(moving, {.kind = Kind::Node, .name = "a"});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::Conflict);
  for (const Happening& what : {Happening{.kind = Kind::Node, .name = "c"}, Happening{.kind = Kind::Network, .name = "net7"},
                                Happening{.kind = Kind::Witness}, Happening{.kind = Kind::Checker, .name = "tcp.no", .node = NodeName{"a"}},
                                Happening{.kind = Kind::Command, .name = "explode", .node = NodeName{"a"}},
                                Happening{.kind = Kind::Process, .name = "nobody", .node = NodeName{"a"}}, Happening{.kind = Kind::Apply}}) {
    const auto result = forecast(situation_of(), what);
    ASSERT_FALSE(result.has_value()) << what.name;
    EXPECT_EQ(result.error().code, Code::Invalid) << result.error().what;
  }
}

}  // namespace safekit::sim
