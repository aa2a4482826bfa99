#include "controllers/membership/plan.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/rule/parse.h"

namespace safekit::membership {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr MonoTime kNow{100'000'000'000};
const LanName kNet{"net"};
const LanName kPrivate{"private"};

Desired two_networks() {
  return {.peer = NodeName{"b"},
          .heartbeats = {{.ident = "net", .lan = kNet, .timeout = seconds{1}},
                         {.ident = "flow", .lan = kPrivate, .timeout = seconds{2}}}};
}
LinkState heard(Duration ago) {
  return {.heard = kNow - ago, .listening_since = kNow - minutes{1}};
}
ModuleEntry second() {
  return {
      .name = "db", .role = status::Role::Second, .readiness = status::Readiness::Ready, .up_to_date = true};
}
Observed hears(Duration net, Duration flow) {
  return {.links = {{kNet, heard(net)}, {kPrivate, heard(flow)}},
          .entry = second(),
          .payload_seen = true,
          .before = {}};
}

TEST(MembershipPlan, HearsThePeerOnAnyNetwork) {
  Observed observed = hears(milliseconds{100}, milliseconds{200});
  const Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_TRUE(plan.peer.heard);
  EXPECT_FALSE(plan.peer.silence_known);
  EXPECT_EQ(plan.peer.role, status::Role::Second);
  EXPECT_TRUE(plan.peer.up_to_date);
  EXPECT_EQ(plan.recheck_after, milliseconds{900});
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "Remote state SECOND Ready"}));
  EXPECT_EQ(plan.resources.at("state.remote"), "SECOND Ready");
  observed.before = plan.peer;
  EXPECT_THAT(decide(two_networks(), observed, kNow).lines, IsEmpty());
}

TEST(MembershipPlan, APeerIsAbsentWhenNoNetworkOfTheClusterKnowsIt) {
  Observed observed = hears(seconds{5}, seconds{5});
  EXPECT_TRUE(decide(two_networks(), observed, kNow).peer.absence_known);
  observed.others = {heard(seconds{3}), heard(milliseconds{500})};
  Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_TRUE(plan.peer.silence_known);
  EXPECT_FALSE(plan.peer.absence_known);
  EXPECT_EQ(plan.recheck_after, milliseconds{1500}) << "the longest time-out of the module";
  observed.others = {heard(seconds{3}), heard(seconds{2})};
  EXPECT_TRUE(decide(two_networks(), observed, kNow).peer.absence_known);
  observed.links[kPrivate] = heard(seconds{1});
  EXPECT_FALSE(decide(two_networks(), observed, kNow).peer.absence_known);
}

TEST(MembershipPlan, LosesOneNetworkAndKeepsThePeer) {
  Observed observed = hears(milliseconds{100}, milliseconds{200});
  observed.before = decide(two_networks(), observed, kNow).peer;
  observed.links[kNet] = heard(seconds{1});
  const Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_TRUE(plan.peer.heard);
  EXPECT_FALSE(plan.peer.heartbeats.at("net"));
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "Resource heartbeat.net set to down by heart"}));
}

TEST(MembershipPlan, SaysWhenItsOwnSocketIsTheReason) {
  Observed observed = hears(milliseconds{100}, milliseconds{200});
  observed.before = decide(two_networks(), observed, kNow).peer;
  observed.links[kNet] = heard(seconds{1});
  observed.links[kNet].error = ENETUNREACH;
  EXPECT_THAT(decide(two_networks(), observed, kNow).lines,
              ElementsAre(Line{'E', "Resource heartbeat.net set to down by heart"},
                          Line{'C', "heartbeats of network net: this node's own socket fails: Network is unreachable"}));
}

TEST(MembershipPlan, KnowsSilenceOnlyAfterEveryTimeout) {
  Observed observed = hears(milliseconds{100}, milliseconds{200});
  observed.before = decide(two_networks(), observed, kNow).peer;
  observed.links = {{kNet, heard(seconds{3})}, {kPrivate, heard(milliseconds{1900})}};
  EXPECT_TRUE(decide(two_networks(), observed, kNow).peer.heard);
  observed.links[kPrivate] = heard(seconds{2});
  const Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_FALSE(plan.peer.heard);
  EXPECT_TRUE(plan.peer.silence_known);
  EXPECT_EQ(plan.resources.at("state.remote"), "UNKNOWN Unknown");
  EXPECT_THAT(plan.lines, ElementsAre(Line{'E', "Resource heartbeat.net set to down by heart"},
                                      Line{'E', "Resource heartbeat.flow set to down by heart"},
                                      Line{'E', "Remote state UNKNOWN Unknown"}));
}

TEST(MembershipPlan, WaitsForItsOwnEarsBeforeItCallsThePeerSilent) {
  Observed observed;
  observed.links = {{kNet, {.heard = {}, .listening_since = kNow - milliseconds{1500}}},
                    {kPrivate, {.heard = {}, .listening_since = kNow - milliseconds{1500}}}};
  const Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_FALSE(plan.peer.heard);
  EXPECT_FALSE(plan.peer.silence_known);
  EXPECT_EQ(plan.resources.at("heartbeat.flow"), "init");
  EXPECT_EQ(plan.recheck_after, milliseconds{500});
  EXPECT_TRUE(decide(two_networks(), observed, kNow + milliseconds{500}).peer.silence_known);
}

TEST(MembershipPlan, DoesNotTakeItsOwnPauseForTheLossOfThePeer) {
  Observed observed = hears(milliseconds{100}, milliseconds{100});
  observed.before = decide(two_networks(), observed, kNow).peer;
  for (auto& [lan, link] : observed.links) link = {.heard = kNow - minutes{5}, .listening_since = kNow};
  const Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_TRUE(plan.peer.heard);
  EXPECT_THAT(plan.lines, IsEmpty());
}

TEST(MembershipPlan, NeverCallsAPeerSilentWithoutAnyHeartbeat) {
  const Plan plan = decide({.peer = NodeName{"b"}, .heartbeats = {}}, {}, kNow);
  EXPECT_FALSE(plan.peer.silence_known);
  EXPECT_FALSE(plan.peer.heard);
}

TEST(MembershipPlan, KnowsNothingWhereItDoesNotListen) {
  Observed observed;
  EXPECT_FALSE(decide(two_networks(), observed, kNow).peer.silence_known);  // the cluster has neither network
  observed.links[kNet] = {};
  Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_FALSE(plan.peer.silence_known);
  EXPECT_EQ(plan.recheck_after, kListenSoon);
  observed.links[kNet] = heard(minutes{1});
  EXPECT_TRUE(decide(two_networks(), observed, kNow).peer.silence_known);
}

TEST(MembershipPlan, SaysThatThePeerDoesNotKnowTheModule) {
  Observed observed = hears(milliseconds{100}, milliseconds{100});
  observed.before = decide(two_networks(), observed, kNow).peer;
  observed.entry.reset();
  const Plan plan = decide(two_networks(), observed, kNow);
  EXPECT_TRUE(plan.peer.heard);
  EXPECT_FALSE(plan.peer.module_known);
  EXPECT_FALSE(plan.peer.up_to_date);
}

TEST(MembershipLinks, CoverEveryNetworkOfTheCluster) {
  spec::Cluster cluster;
  cluster.port = 4900;
  cluster.pulse = milliseconds{500};
  spec::Lan lan;
  lan.name = kNet;
  lan.nodes = {{.name = NodeName{"a"}, .address = "10.0.0.1", .local_address = "192.168.0.1"},
               {.name = NodeName{"b"}, .address = "10.0.0.2", .local_address = {}}};
  cluster.lans = {lan};
  auto module = std::make_shared<spec::Module>();
  module->heart = spec::Heart{};
  module->heart->pulse = milliseconds{50};
  module->heart->lans = {{.lan = kNet}};
  const LinkPlan plan = links_of(cluster, {module}, NodeName{"a"}).plan;
  EXPECT_EQ(plan.port, 4900);
  EXPECT_EQ(plan.period, milliseconds{50});
  EXPECT_THAT(plan.links, ElementsAre(Link{kNet, NodeName{"b"}, "192.168.0.1", "10.0.0.2"}));
  EXPECT_THAT(links_of(cluster, {}, NodeName{"c"}).plan.links, IsEmpty());
  cluster.lans[0].nodes[1].address = "b.example";
  EXPECT_THAT(links_of(cluster, {}, NodeName{"a"}).plan.links, IsEmpty());
  EXPECT_THAT(links_of(cluster, {}, NodeName{"a"}).problems,
              ElementsAre(::testing::HasSubstr("'b.example'")));
}

Payload full_payload() {
  ModuleEntry entry = second();
  entry.came_from_second = true;
  entry.resources = {{"tcp.web", "down"}};
  entry.marked_out_of_date = true;
  entry.generation = 0xFEDC'BA98'7654'3210ULL;
  entry.asked_pairing = 0x0123'4567'89AB'CDEFULL;
  entry.answered_pairing = 77;
  return {.node = "b", .modules = {entry, {.name = "other"}}};
}

TEST(MembershipPayload, ComesBackAsItWas) {
  EXPECT_EQ(decode(encode(full_payload())).value(), full_payload());
}

TEST(MembershipPayload, RefusesWhatIsCutOrWrong) {
  const Bytes bytes = encode(full_payload());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(BytesView{bytes}.first(size)).has_value()) << size;
  }
  Bytes newer = bytes;
  newer[0] = 2;
  EXPECT_EQ(decode(newer).error().code, Code::Unsupported);
  Bytes longer = bytes;
  longer.push_back(1);
  EXPECT_TRUE(decode(longer).has_value());
}

TEST(MembershipEntry, IsWithheldUntilTheStateIsKnownAgain) {
  status::Module module;
  module.name = ModuleName{"db"};
  EXPECT_EQ(entry_of(module, true), std::nullopt);
  module.role.since = WallTime{1};
  EXPECT_TRUE(entry_of(module, true).has_value());
  module.role.role = status::Role::Second;
  EXPECT_EQ(entry_of(module, true), std::nullopt);
  EXPECT_TRUE(entry_of(module, false).has_value());
  module.replication = {.configured = true,
                        .order = {.role = status::ReplicaOrder::Role::Secondary},
                        .alive = true,
                        .up_to_date = true};
  EXPECT_TRUE(entry_of(module, true)->up_to_date);
  EXPECT_TRUE(entry_of(module, true)->replicates);
  module.replication.up_to_date = false;
  EXPECT_TRUE(entry_of(module, true)->marked_out_of_date);
  module.replication.alive = false;
  module.replication.died = true;
  EXPECT_FALSE(entry_of(module, true)->replicates);
}

TEST(MembershipEntry, AnswersAboutAPairingOnlyWithAMarkMadeForIt) {
  using OrderRole = status::ReplicaOrder::Role;
  status::Module module;
  module.role = {.role = status::Role::Second, .since = WallTime{1}};
  module.replication = {.configured = true, .order = {.role = OrderRole::Secondary}, .alive = true, .settled = true};
  const auto answer = [&] { return entry_of(module, true)->answered_pairing; };
  // Out of date already, but nobody knows whether it was so when the question was asked.
  module.peer = {.heard = true, .out_of_date_requested = true, .asked_pairing = 5};
  EXPECT_EQ(answer(), 0U);
  module.replication.order.mark_out_of_date = true;
  module.replication.order.pairing = 4;
  EXPECT_EQ(answer(), 0U);
  module.replication.order.pairing = 5;
  EXPECT_EQ(answer(), 5U);
  module.replication.settled = false;
  EXPECT_EQ(answer(), 0U);
  module.replication.settled = true;
  module.replication.up_to_date = true;  // synchronised after the mark
  EXPECT_EQ(answer(), 0U);
  module.replication.up_to_date = false;
  module.peer.out_of_date_requested = false;
  EXPECT_EQ(answer(), 0U);
}

TEST(MembershipEntry, AnswersInStopAndWaitOnceItsCopyIsLeft) {
  using OrderRole = status::ReplicaOrder::Role;
  for (const auto role : {status::Role::Stop, status::Role::Wait}) {
    status::Module module;
    module.role = {.role = role, .since = WallTime{1}};
    module.peer = {.heard = true, .out_of_date_requested = true, .asked_pairing = 5};
    EXPECT_EQ(entry_of(module, true)->answered_pairing, 5U);
    module.replication.order.role = OrderRole::Secondary;
    EXPECT_EQ(entry_of(module, true)->answered_pairing, 0U);
  }
}

TEST(MembershipPayload, AnOlderWriterAsksAndAnswersNothing) {
  Bytes bytes = encode({.node = "b", .modules = {{.name = "db", .asked_pairing = 1, .answered_pairing = 2}}});
  // The blob of the module is the last: 16 bytes shorter, and its length with it.
  bytes.resize(bytes.size() - 16);
  const std::size_t length_at = bytes.size() - (4 + 2 + 2 + 4 + 8) - 4;
  ASSERT_GE(bytes[length_at], 16);
  bytes[length_at] = static_cast<std::uint8_t>(bytes[length_at] - 16);
  const auto payload = decode(bytes);
  ASSERT_TRUE(payload) << payload.error().what;
  EXPECT_EQ(payload->modules[0].asked_pairing, 0U);
  EXPECT_EQ(payload->modules[0].answered_pairing, 0U);
}

TEST(MembershipPayload, TellsThePeerTheResourcesThatItsRulesName) {
  const auto rules = rule::parse(
      "a: if (remote.tcp.web == down && tcp.local == up) then swap(); b: if (remote.ip.* == down) then wait();").rules;
  const std::map<std::string, status::ResourceValue> resources{
      {"ip.10.0.0.1", {.value = "up"}},     {"ip.10.0.0.2", {.value = "down"}}, {"ipx.a", {.value = "up"}},
      {"tcp.local", {.value = "up"}},       {"tcp.web", {.value = "init"}},     {"tcp.web2", {.value = "up"}}};
  EXPECT_EQ(resources_for_peer(rules, resources),
            (std::map<std::string, std::string>{{"ip.10.0.0.1", "up"}, {"ip.10.0.0.2", "down"}, {"tcp.web", "init"}}));
  std::map<std::string, status::ResourceValue> many;
  for (int i = 0; i < 100; ++i) many["ip." + std::to_string(i)] = {.value = "up"};
  many["ip." + std::string(kResourceTextMax, '0')] = {.value = "up"};
  const auto told = resources_for_peer(rules, many);
  EXPECT_EQ(told.size(), kResourcesMax);
  const Payload payload{.node = "a", .modules = {{.name = "db", .resources = told}}};
  const auto back = decode(encode(payload));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, payload);
}

TEST(MembershipPayload, IsReadableHoweverLongTheResourcesAre) {
  const auto rules = rule::parse("a: if (remote.custom.? == down) then wait();").rules;
  std::map<std::string, status::ResourceValue> resources;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "custom." + std::to_string(100 + i);
    resources[name + std::string(kResourceTextMax - name.size(), 'n')] = {.value = std::string(kResourceTextMax, 'v')};
  }
  const auto told = resources_for_peer(rules, resources);
  EXPECT_FALSE(told.empty());
  const Payload payload{.node = "a", .modules = {{.name = std::string(200, 'm'), .resources = told}}};
  const auto back = decode(encode(payload));
  ASSERT_TRUE(back.has_value()) << back.error().what << ": neither node would hear the other one";
  EXPECT_EQ(*back, payload);
}

}  // namespace
}  // namespace safekit::membership
