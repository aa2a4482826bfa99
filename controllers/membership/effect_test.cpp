#include "controllers/membership/effect.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::membership {
namespace {

using ::testing::Contains;

const ModuleName kDb{"db"};
const NodeName kPeer{"b"};

class FakeHeartbeats final : public Heartbeats {
 public:
  LinkPlan plan{};
  std::vector<Bytes> published{};
  std::map<LanName, LinkState> states{};
  std::optional<Bytes> said{};
  std::function<void(const NodeName&)> changed{};
  Status configure(const LinkPlan& wanted) override {
    plan = wanted;
    return {};
  }
  Status publish(Bytes payload) override {
    published.push_back(std::move(payload));
    return {};
  }
  [[nodiscard]] LinkState state(const LanName& lan, const NodeName&) const override {
    const auto found = states.find(lan);
    return found == states.end() ? LinkState{} : found->second;
  }
  [[nodiscard]] std::optional<Bytes> payload(const NodeName&) const override { return said; }
  void on_change(std::function<void(const NodeName&)> task) override { changed = std::move(task); }
};

class MembershipTest : public ::testing::Test {
 protected:
  MembershipTest()
      : controller(store, clock, heartbeats, [this](const engine::Request& r) { woken.push_back(r.name); }) {
    const auto cluster = store.apply(
        {store::Kind::Cluster, "cluster"},
        R"({"apiVersion":"safekit/v1","kind":"Cluster","metadata":{"name":"cluster"},"spec":{"lans":[{"name":"net",)"
        R"("nodes":[{"name":"a","address":"10.0.0.1"},{"name":"b","address":"10.0.0.2"}]}]}})",
        {});
    EXPECT_TRUE(cluster.has_value()) << cluster.error().what;
    const auto module = store.apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
        R"("nodes":["a","b"],"heartbeats":{"lans":["net"]}}})",
        {});
    EXPECT_TRUE(module.has_value()) << module.error().what;
  }
  void role(status::Role role) {
    store.update_status(kDb, [&](status::Module& m) {
      m.role.since = WallTime{1};
      m.role.role = role;
    });
  }
  std::optional<Duration> pass(const std::string& key = "db") {
    const auto outcome = controller.reconcile({key});
    EXPECT_TRUE(outcome.has_value());
    return outcome->requeue_after;
  }
  void hear(status::Role role) {
    heartbeats.said = encode(Payload{
        .node = "b", .modules = {{.name = "db", .role = role, .readiness = status::Readiness::Ready}}});
    heartbeats.states[LanName{"net"}] = {.heard = clock.mono_now(), .listening_since = MonoTime{1}};
    heartbeats.changed(kPeer);
  }
  const status::PeerSection& peer() { return store.status(kDb).peer; }

  fake::ManualClock clock{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  FakeHeartbeats heartbeats{};
  std::vector<std::string> woken{};
  MembershipController controller;
};

TEST_F(MembershipTest, SaysNothingUntilTheRoleIsKnown) {
  pass("cluster");
  EXPECT_EQ(heartbeats.plan.links.size(), 1U);
  EXPECT_TRUE(heartbeats.published.empty());
  role(status::Role::Prim);
  pass();
  ASSERT_EQ(heartbeats.published.size(), 1U);
  EXPECT_EQ(decode(heartbeats.published[0])->modules.at(0).role, status::Role::Prim);
  pass();
  EXPECT_EQ(heartbeats.published.size(), 1U);
}

TEST_F(MembershipTest, DoesNotStaySilentForOneModuleForever) {
  EXPECT_EQ(pass("cluster"), MembershipController::kWithholdMax);
  clock.advance(MembershipController::kWithholdMax);
  pass("cluster");
  ASSERT_EQ(heartbeats.published.size(), 1U);
  EXPECT_TRUE(decode(heartbeats.published[0])->modules.empty());
}

TEST_F(MembershipTest, TellsOfThePeerAndOfItsSilence) {
  role(status::Role::Second);
  pass();
  woken.clear();
  hear(status::Role::Prim);
  EXPECT_THAT(woken, Contains("db"));
  EXPECT_EQ(pass(), seconds{1});
  EXPECT_TRUE(peer().heard);
  EXPECT_EQ(peer().role, status::Role::Prim);
  EXPECT_EQ(store.status(kDb).resources.at("heartbeat.net").value, "up");
  clock.advance(seconds{1});
  pass();
  EXPECT_FALSE(peer().heard);
  EXPECT_TRUE(peer().silence_known);
  EXPECT_EQ(store.status(kDb).resources.at("state.remote").value, "UNKNOWN Unknown");
  EXPECT_EQ(store.events(kDb, 1, false).at(0).text, "Remote state UNKNOWN Unknown");
}

TEST_F(MembershipTest, ADeafNodeDoesNotTakeItsPeerForLost) {
  role(status::Role::Second);
  pass();
  hear(status::Role::Prim);
  pass();
  heartbeats.states[LanName{"net"}].error = EADDRINUSE;
  clock.advance(minutes{1});
  EXPECT_EQ(pass(), kDeafRecheck);
  EXPECT_TRUE(peer().heard);
  EXPECT_FALSE(peer().silence_known);
  // The port is free again: now it counts, but only from here on.
  heartbeats.states[LanName{"net"}].error = 0;
  pass();
  EXPECT_FALSE(peer().silence_known);
  clock.advance(seconds{1});
  pass();
  EXPECT_TRUE(peer().silence_known);
}

TEST_F(MembershipTest, ANodeThatWasDeafFromItsStartKnowsNothingOfItsPeer) {
  role(status::Role::Wait);
  heartbeats.states[LanName{"net"}] = {.listening_since = MonoTime{1}, .error = EADDRINUSE};
  clock.advance(minutes{1});
  pass();
  EXPECT_FALSE(peer().heard);
  EXPECT_FALSE(peer().silence_known);
  EXPECT_EQ(store.status(kDb).resources.at("heartbeat.net").value, "init");
}

TEST_F(MembershipTest, IgnoresAPayloadThatNamesAnotherNode) {
  role(status::Role::Second);
  hear(status::Role::Prim);
  heartbeats.said = encode(Payload{.node = "c", .modules = {{.name = "db"}}});
  pass();
  EXPECT_FALSE(peer().heard);
}

}  // namespace
}  // namespace safekit::membership
