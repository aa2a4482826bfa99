#include "controllers/vip/effect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/fixed_interfaces.h"
#include "schema/fake/manual_clock.h"

namespace safekit::vip {
namespace {

using ::testing::Contains;
using ::testing::Not;

const ModuleName kDb{"db"};
const InterfaceAddress kAddress{.ip = parse_ip("10.0.0.9").value(), .prefix_length = 24};

class VipTest : public ::testing::Test {
 protected:
  VipTest() {
    interfaces.interfaces = {{.index = 2, .name = "eth0", .up = true, .carrier = true}};
    interfaces.interfaces[0].addresses = {{.ip = parse_ip("10.0.0.1").value(), .prefix_length = 24}};
    restart();
    const auto module = store->apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
        R"("nodes":["a","b"],"heartbeats":{"lans":["net"]},"virtualIPs":["10.0.0.9"]}})",
        {});
    EXPECT_TRUE(module.has_value()) << module.error().what;
  }
  void restart() {
    controller.reset();
    store = std::make_unique<store::Store>(backend, clock, NodeName{"a"});
    controller = std::make_unique<VipController>(*store, clock, interfaces,
                                                 [this](const engine::Request&) { ++wakes; });
  }
  void role(status::Role role, bool wanted) {
    store->update_status(kDb, [&](status::Module& m) {
      m.role.since = WallTime{1};
      m.role.role = role;
      m.role.readiness = status::Readiness::Transient;
      m.role.addresses_wanted = wanted;
    });
  }
  void pass() {
    const auto outcome = controller->reconcile({"db"});
    ASSERT_TRUE(outcome.has_value()) << outcome.error().what;
  }
  const status::AddressSection& section() { return store->status(kDb).addresses; }
  std::vector<InterfaceAddress>& addresses() { return interfaces.interfaces[0].addresses; }

  fake::ManualClock clock{};
  fake::FixedInterfaces interfaces{};
  store::MemoryBackend backend{};
  std::unique_ptr<store::Store> store{};
  std::unique_ptr<VipController> controller{};
  int wakes{0};
};

TEST_F(VipTest, SetsAnnouncesAndRemoves) {
  role(status::Role::Alone, true);
  pass();
  EXPECT_THAT(addresses(), Contains(kAddress));
  EXPECT_EQ(interfaces.announced.size(), 1U);
  EXPECT_TRUE(section().all_set);
  EXPECT_EQ(store->events(kDb, 1, true).at(0).text, "Virtual IP <ip 10.0.0.9 of db> set");
  role(status::Role::Wait, false);
  pass();
  EXPECT_THAT(addresses(), Not(Contains(kAddress)));
  EXPECT_EQ(interfaces.reset.size(), 1U);
  EXPECT_TRUE(section().all_unset);
}

TEST_F(VipTest, SaysWhereTheAddressBelongsAsInterfacesComeAndGo) {
  role(status::Role::Second, false);
  pass();
  EXPECT_EQ(section().places, (std::vector<status::AddressPlace>{{.address = "10.0.0.9", .interface = "eth0"}}));
  interfaces.interfaces.clear();
  pass();
  EXPECT_TRUE(section().places.empty());
}

TEST_F(VipTest, AnnouncesUntilAnAnnouncementGetsOut) {
  interfaces.guarded = true;
  role(status::Role::Alone, true);
  const auto pass_after = [&](Duration time) {
    clock.advance(time);
    return controller->reconcile({"db"}).value().requeue_after;
  };
  EXPECT_EQ(pass_after(Duration{0}), kAnnounceAgain);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pass_after(kAnnounceAgain), kAnnounceAgain);  // all were due meanwhile
  EXPECT_TRUE(interfaces.announced.empty());
  interfaces.guarded = false;
  EXPECT_EQ(pass_after(kAnnounceAgain), std::nullopt);
  EXPECT_EQ(interfaces.announced.size(), 1U);
  pass_after(kAnnounceAgain);
  EXPECT_EQ(interfaces.announced.size(), 1U);
}

TEST_F(VipTest, KeepsTheAddressOverARestart) {
  role(status::Role::Alone, true);
  pass();
  restart();
  pass();  // the role has not spoken
  EXPECT_THAT(addresses(), Contains(kAddress));
  role(status::Role::Alone, true);
  pass();
  EXPECT_TRUE(section().all_set);
  EXPECT_TRUE(interfaces.reset.empty());
  restart();
  role(status::Role::Stop, false);
  pass();
  EXPECT_THAT(addresses(), Not(Contains(kAddress)));
}

TEST_F(VipTest, ProbesAtStart) {
  role(status::Role::Wait, false);
  pass();
  ASSERT_EQ(interfaces.probes.size(), 1U);
  EXPECT_FALSE(section().probed);
  interfaces.probes[0].answer(MacAddress{1, 2, 3, 4, 5, 6});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_TRUE(section().probed);
  EXPECT_TRUE(section().in_use_elsewhere);

  // The role waits for it now; the other machine lets go.
  store->update_status(kDb, [](status::Module& m) { m.role.readiness = status::Readiness::NotReady; });
  pass();
  clock.advance(kProbeAgain);
  pass();
  ASSERT_EQ(interfaces.probes.size(), 2U);
  interfaces.probes[1].answer(std::nullopt);
  pass();
  EXPECT_TRUE(section().probed);
  EXPECT_FALSE(section().in_use_elsewhere);
}

}  // namespace
}  // namespace safekit::vip
