#include "controllers/vip/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::vip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr MonoTime kNow{100'000'000'000};

IpAddress ip(const char* text) {
  return parse_ip(text).value();
}
InterfaceAddress address(const char* text, std::uint8_t prefix) {
  return {.ip = ip(text), .prefix_length = prefix};
}

std::vector<Interface> machine() {
  Interface lo{.index = 1, .name = "lo", .up = true, .carrier = true, .loopback = true};
  lo.addresses = {address("127.0.0.1", 8)};
  Interface eth{.index = 2, .name = "eth0", .up = true, .carrier = true};
  eth.addresses = {address("10.0.0.1", 24), address("2001:db8::1", 64)};
  return {lo, eth};
}
Desired wants() {
  return {
      .addresses = {{.ip = ip("10.0.0.9"), .interface = {}, .prefix = {}}}, .wanted = true, .problem = {}};
}
Desired drops() {
  Desired desired = wants();
  desired.wanted = false;
  return desired;
}
std::vector<Interface> with_address() {
  auto interfaces = machine();
  interfaces[1].addresses.push_back(address("10.0.0.9", 24));
  return interfaces;
}

TEST(VipPlan, SetsAnAddressOnTheInterfaceOfItsNetwork) {
  const Plan plan = decide(wants(), machine(), {}, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{AddAddress{2, address("10.0.0.9", 24)}}));
  EXPECT_FALSE(plan.section.all_set);
  EXPECT_FALSE(plan.section.all_unset);
}

TEST(VipPlan, SaysWhereAddressesBelongInEveryRole) {
  const auto places = [](const Desired& desired, const std::vector<Interface>& interfaces) {
    return decide(desired, interfaces, {}, kNow).section.places;
  };
  const std::vector<status::AddressPlace> eth0{{.address = "10.0.0.9", .interface = "eth0"}};
  EXPECT_EQ(places(wants(), machine()), eth0);
  EXPECT_EQ(places(wants(), with_address()), eth0);
  EXPECT_EQ(places(drops(), machine()), eth0);
  auto interfaces = machine();
  interfaces.push_back({.index = 3, .name = "eth1", .up = true, .carrier = true});
  interfaces[1].up = false;
  EXPECT_EQ(places(drops(), interfaces), eth0) << "it will come up again";
  interfaces[2].addresses = {address("10.0.0.2", 24)};
  const std::vector<status::AddressPlace> eth1{{.address = "10.0.0.9", .interface = "eth1"}};
  EXPECT_EQ(places(drops(), interfaces), eth1) << "it would be set here";
  interfaces[1].addresses.push_back(address("10.0.0.9", 24));
  EXPECT_EQ(places(wants(), interfaces), eth0) << "but is there";

  Desired named = drops();
  named.addresses[0].interface = "eth1";
  EXPECT_THAT(places(named, machine()), IsEmpty());
  named.addresses.push_back({.ip = ip("2001:db8::9"), .interface = {}, .prefix = {}});
  interfaces = machine();
  interfaces.push_back({.index = 3, .name = "eth1"});
  EXPECT_THAT(places(named, interfaces), ElementsAre(status::AddressPlace{"10.0.0.9", "eth1"},
                                                     status::AddressPlace{"2001:db8::9", "eth0"}));
}

TEST(VipPlan, AnnouncesThreeTimes) {
  Plan plan = decide(wants(), machine(), {}, kNow);
  plan = decide(wants(), with_address(), plan.memory, kNow);
  EXPECT_TRUE(plan.section.all_set);
  EXPECT_THAT(plan.actions, ElementsAre(Action{Announce{2, ip("10.0.0.9")}}));
  EXPECT_EQ(plan.recheck_after, milliseconds{100});
  plan = decide(wants(), with_address(), plan.memory, kNow + milliseconds{100});
  EXPECT_THAT(plan.actions, ElementsAre(Action{Announce{2, ip("10.0.0.9")}}));
  EXPECT_EQ(plan.recheck_after, milliseconds{900});
  plan = decide(wants(), with_address(), plan.memory, kNow + seconds{1});
  EXPECT_THAT(plan.actions, ElementsAre(Action{Announce{2, ip("10.0.0.9")}}));
  EXPECT_EQ(plan.recheck_after, std::nullopt);
  EXPECT_THAT(decide(wants(), with_address(), plan.memory, kNow + hours{1}).actions, IsEmpty());
}

TEST(VipPlan, GoesOnAnnouncingWhereItIsAskedTo) {
  Desired desired = wants();
  desired.addresses[0].announce_on = true;
  desired.addresses[0].announce_elapse = seconds{120};
  Memory memory{.held = {{.index = 2, .address = address("10.0.0.9", 24), .since = kNow, .announced = 3}},
                .probes = {}};
  Plan plan = decide(desired, with_address(), memory, kNow + seconds{2});
  EXPECT_EQ(plan.recheck_after, seconds{58});
  plan = decide(desired, with_address(), plan.memory, kNow + seconds{60});
  EXPECT_THAT(plan.actions, ElementsAre(Action{Announce{2, ip("10.0.0.9")}}));
  plan = decide(desired, with_address(), plan.memory,
                kNow + seconds{500});  // late: one stands for the missed ones
  EXPECT_THAT(plan.actions, ElementsAre(Action{Announce{2, ip("10.0.0.9")}}));
  EXPECT_EQ(plan.recheck_after, std::nullopt);
}

TEST(VipPlan, DoesNotTouchAnAddressThatIsThereAfterARestart) {
  const Plan plan = decide(wants(), with_address(), {}, kNow);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_TRUE(plan.section.all_set);
  EXPECT_EQ(plan.memory.held.size(), 1U);
}

TEST(VipPlan, RemovesAndResets) {
  Plan plan = decide(wants(), with_address(), {}, kNow);
  plan = decide(drops(), with_address(), plan.memory, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{RemoveAddress{2, address("10.0.0.9", 24), true}}));
  EXPECT_FALSE(plan.section.all_unset);
  plan = decide(drops(), machine(), plan.memory, kNow);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_TRUE(plan.section.all_unset);
  EXPECT_THAT(plan.memory.held, IsEmpty());
}

TEST(VipPlan, LeavesAnAddressOfSomebodyElseAlone) {
  const Plan plan = decide(drops(), with_address(), {}, kNow);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_TRUE(plan.section.all_unset);
}

TEST(VipPlan, RemovesWhatTheSpecNoLongerNames) {
  Plan plan = decide(wants(), with_address(), {}, kNow);
  Desired desired = wants();
  desired.addresses.clear();
  plan = decide(desired, with_address(), plan.memory, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{RemoveAddress{2, address("10.0.0.9", 24), true}}));
}

TEST(VipPlan, LeavesARemovedAddressToTheCheckerButReturnsWithItsInterface) {
  Plan plan = decide(wants(), machine(), {}, kNow);
  plan = decide(wants(), with_address(), plan.memory, kNow);
  const Memory set = plan.memory;
  plan = decide(wants(), machine(), set, kNow);  // taken off by hand
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_FALSE(plan.section.all_set);
  EXPECT_THAT(plan.section.problem, HasSubstr("10.0.0.9"));
  auto gone = machine();
  gone.pop_back();
  plan = decide(wants(), gone, set, kNow);  // the interface itself went
  EXPECT_TRUE(plan.memory.held[0].lost);
  auto back = machine();
  back[1].index = 7;
  plan = decide(wants(), back, plan.memory, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{AddAddress{7, address("10.0.0.9", 24)}}));
}

TEST(VipPlan, AsksOnceAtStartWhetherAnotherMachineHasTheAddress) {
  Desired desired = drops();
  desired.starting = true;
  Plan plan = decide(desired, machine(), {}, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{AskOwner{2, ip("10.0.0.9")}}));
  EXPECT_FALSE(plan.section.probed);
  EXPECT_THAT(decide(desired, machine(), plan.memory, kNow).actions, IsEmpty());
  plan.memory.probes.begin()->second.state = Probe::State::Free;
  plan = decide(desired, machine(), plan.memory, kNow);
  EXPECT_TRUE(plan.section.probed);
  EXPECT_FALSE(plan.section.in_use_elsewhere);
  EXPECT_THAT(plan.actions, IsEmpty());
  desired.starting = false;
  desired.stopped = true;
  plan = decide(desired, machine(), plan.memory, kNow);
  EXPECT_FALSE(plan.section.probed);
  EXPECT_THAT(plan.memory.probes, IsEmpty());
}

TEST(VipPlan, ReportsAnotherOwnerUnlessItIsThePeer) {
  Desired desired = drops();
  desired.starting = true;
  Memory memory;
  memory.probes[ip("10.0.0.9")] = {.state = Probe::State::Taken, .owner = "aa:bb:cc:dd:ee:ff", .at = kNow};
  Plan plan = decide(desired, machine(), memory, kNow);
  EXPECT_TRUE(plan.section.probed);
  EXPECT_TRUE(plan.section.in_use_elsewhere);
  EXPECT_THAT(plan.section.problem, HasSubstr("aa:bb:cc:dd:ee:ff"));
  EXPECT_EQ(plan.recheck_after, kProbeAgain);
  EXPECT_THAT(decide(desired, machine(), memory, kNow + kProbeAgain).actions,
              ElementsAre(Action{AskOwner{2, ip("10.0.0.9")}}));
  desired.peer_serves = true;
  EXPECT_FALSE(decide(desired, machine(), memory, kNow).section.in_use_elsewhere);
}

TEST(VipPlan, SaysThatNoInterfaceFits) {
  Desired desired = wants();
  desired.addresses[0].ip = ip("192.168.7.7");
  const Plan plan = decide(desired, machine(), {}, kNow);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_THAT(plan.section.problem, HasSubstr("192.168.7.7"));
}

TEST(VipPlace, FollowsNameMaskAndNetwork) {
  EXPECT_EQ(place_of({.ip = ip("10.0.0.9")}, machine()).value(), (Place{2, 24}));
  EXPECT_EQ(place_of({.ip = ip("10.0.0.9"), .prefix = 16}, machine()).value(), (Place{2, 16}));
  EXPECT_EQ(place_of({.ip = ip("2001:db8::9")}, machine()).value(), (Place{2, 64}));
  EXPECT_EQ(place_of({.ip = ip("192.168.7.7"), .interface = "eth0"}, machine()).value(), (Place{2, 32}));
  EXPECT_FALSE(place_of({.ip = ip("10.0.0.9"), .interface = "eth9"}, machine()).has_value());
  EXPECT_FALSE(place_of({.ip = ip("127.0.0.9")}, machine()).has_value());
}

TEST(VipWishes, ComeFromTheModule) {
  spec::Module module;
  module.vip = spec::Vip{};
  spec::VipInterface interface;
  interface.name = "eth0";
  interface.addresses = {{.address = "10.0.0.9", .where = {}, .netmask = "255.255.240.0"},
                         {.address = "web"}};
  module.vip->interfaces = {interface};
  const Wishes wishes = wishes_of(module);
  ASSERT_EQ(wishes.addresses.size(), 1U);
  EXPECT_EQ(wishes.addresses[0].prefix, 20);
  EXPECT_EQ(wishes.addresses[0].interface, "eth0");
  EXPECT_THAT(wishes.problem, HasSubstr("'web'"));
  module.mode = spec::Mode::Farm;
  EXPECT_THAT(wishes_of(module).addresses, IsEmpty());
}

TEST(VipText, KeepsWhatIsHeld) {
  const std::vector<Held> held{{2, address("10.0.0.9", 24), kNow, 3, false},
                               {3, address("2001:db8::9", 64), kNow, 0, true}};
  EXPECT_EQ(decode(encode(held)), held);
  EXPECT_THAT(decode("rubbish\n10.0.0.9 99 1 1 1 0\n"), IsEmpty());
}

}  // namespace
}  // namespace safekit::vip
