#include "controllers/checker/effect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/fixed_interfaces.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/scripted_witness.h"

namespace safekit::checker {
namespace {

const ModuleName kDb{"db"};

class FakeTcp final : public TcpProbe {
 public:
  std::vector<std::function<void(Status)>> asked{};
  void connect(const std::string&, std::uint16_t, Duration, std::function<void(Status)> task) override {
    asked.push_back(std::move(task));
  }
};

class FakeEcho final : public EchoProbe {
 public:
  std::vector<std::pair<std::string, std::function<void(Status)>>> asked{};
  void echo(const std::string& host, Duration, std::function<void(Status)> task) override {
    asked.emplace_back(host, std::move(task));
  }
};

class FakeModules final : public ModuleProbe {
 public:
  struct Asked {
    ModuleName module{};
    std::string address{};
    std::function<void(Result<ModuleState>)> task{};
  };
  std::vector<Asked> asked{};
  void ask(const ModuleName& module, const std::string& address, Duration, std::function<void(Result<ModuleState>)> task) override {
    asked.push_back({module, address, std::move(task)});
  }
};

class CheckerTest : public ::testing::Test {
 protected:
  CheckerTest() : controller({store, clock, tcp, echo, witness, interfaces, modules}, [this](const engine::Request&) { ++wakes; }) {
    const auto module = store.apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
        R"("nodes":["a","b"],"heartbeats":{"lans":["net"]},"virtualIPs":["2001:DB8::9"],)"
        R"("checkers":{"tcp":[{"ident":"web","address":"127.0.0.1","port":80}],"ping":[{"ident":"gw","address":"10.0.0.254"}]}}})",
        {});
    EXPECT_TRUE(module.has_value()) << module.error().what;
    interfaces.interfaces = {{.index = 2, .name = "eth0", .up = true}};
    interfaces.interfaces[0].addresses = {{.ip = parse_ip("2001:db8::9").value(), .prefix_length = 64}};
  }
  /// As the engine would: until nobody wakes the controller any more.
  void pass() {
    do {
      wakes = 0;
      ASSERT_TRUE(controller.reconcile({"db"}).has_value());
    } while (wakes > 0);
  }
  std::string value(const std::string& resource) { return store.status(kDb).resources.at(resource).value; }

  fake::ManualClock clock{};
  fake::FixedInterfaces interfaces{};
  FakeTcp tcp{};
  FakeEcho echo{};
  fake::ScriptedWitness witness{};
  FakeModules modules{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  int wakes{0};
  CheckerController controller;
};

TEST_F(CheckerTest, ProbesAndTellsWhatItFinds) {
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Prim}; });
  pass();
  EXPECT_EQ(value("ip.2001:DB8::9"), "up");
  ASSERT_EQ(tcp.asked.size(), 1U);
  tcp.asked[0](Status{});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_EQ(value("tcp.web"), "up");
  clock.advance(seconds{10});
  pass();
  ASSERT_EQ(tcp.asked.size(), 2U);
  tcp.asked[1](Error{Code::Unavailable, "refused"});
  pass();
  EXPECT_EQ(value("tcp.web"), "down");
  store.update_status(kDb, [](status::Module& m) { m.settings.checker = false; });
  pass();
  EXPECT_EQ(value("tcp.web"), "init");
}

TEST_F(CheckerTest, AsksForEchoesBeforeTheApplicationRuns) {
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Pre}; });
  pass();
  EXPECT_EQ(value("ping.gw"), "init");
  EXPECT_EQ(store.status(kDb).checker.awaited, std::set<std::string>{"ping.gw"});
  ASSERT_EQ(echo.asked.size(), 1U);
  EXPECT_EQ(echo.asked[0].first, "10.0.0.254");
  echo.asked[0].second(Error{Code::Timeout, "no answer in time"});
  pass();
  EXPECT_EQ(value("ping.gw"), "down");
  EXPECT_EQ(store.status(kDb).resources.at("ping.gw").source, "pingcheck");
}

TEST_F(CheckerTest, OneWitnessIsEnough) {
  const auto module = store.apply(
      {store::Kind::Module, "db"},
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror","nodes":["a","b"],)"
      R"("heartbeats":{"lans":["net"]},"checkers":{"splitBrain":{"ident":"w","witnesses":["10.0.0.1","10.0.0.2"]}}}})",
      {});
  ASSERT_TRUE(module.has_value()) << module.error().what;
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Pre}; });
  pass();
  ASSERT_EQ(echo.asked.size(), 2U);
  const Status late = Error{Code::Timeout, "no answer in time"};
  echo.asked[0].second(late);
  pass();
  EXPECT_EQ(value("splitbrain.w"), "init");
  echo.asked[1].second(Status{});
  pass();
  EXPECT_EQ(value("splitbrain.w"), "up");
  clock.advance(seconds{10});
  pass();
  echo.asked[2].second(late);
  echo.asked[3].second(late);
  pass();
  EXPECT_EQ(value("splitbrain.w"), "down");
}

TEST_F(CheckerTest, AWitnessThatGrantsLeasesIsProbed) {
  const auto module = store.apply(
      {store::Kind::Module, "db"},
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror","nodes":["a","b"],)"
      R"("heartbeats":{"lans":["net"]},"checkers":{"splitBrain":{"ident":"w","exec":"etcd","witnesses":["http://e1","http://e2"]}}}})",
      {});
  ASSERT_TRUE(module.has_value()) << module.error().what;
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Pre}; });
  pass();
  EXPECT_TRUE(echo.asked.empty());
  ASSERT_EQ(witness.probed.size(), 1U);
  EXPECT_EQ(witness.probed[0].first,
            (WitnessPlace{.kind = WitnessPlace::Kind::Etcd, .addresses = {"http://e1", "http://e2"}}));
  witness.probed[0].second(Error{Code::Unavailable, "nothing answers"});
  pass();
  EXPECT_EQ(value("splitbrain.w"), "down");
  EXPECT_TRUE(witness.acquired.empty());
}

TEST_F(CheckerTest, AModuleStartsAnewAfterTheOneThatItDependsOn) {
  const auto module = store.apply(
      {store::Kind::Module, "db"},
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"light","nodes":["a"],)"
      R"("checkers":{"modules":[{"name":"store","address":"10.0.0.9"}]}}})",
      {});
  ASSERT_TRUE(module.has_value()) << module.error().what;
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Pre}; });
  std::size_t question = 0;
  const auto answer = [&](const Result<ModuleState>& state) {
    pass();
    ASSERT_EQ(modules.asked.size(), question + 1);
    modules.asked[question++].task(state);
    pass();
    clock.advance(seconds{10});
  };
  answer(Error{Code::Invalid, "'10.0.0.9' is nobody's"});
  EXPECT_EQ(modules.asked[0].module.str(), "store");
  EXPECT_EQ(modules.asked[0].address, "10.0.0.9");
  EXPECT_EQ(value("module.store_10.0.0.9"), "down");
  EXPECT_EQ(store.events(kDb, 2, false).at(0).text, "module.store_10.0.0.9: '10.0.0.9' is nobody's");
  answer(ModuleState{.in_service = true, .instance = "a/1"});
  EXPECT_EQ(value("module.store_10.0.0.9"), "up");
  answer(ModuleState{.in_service = true, .instance = "a/1"});
  EXPECT_TRUE(store.pending(kDb).empty());
  answer(ModuleState{.in_service = true, .instance = "b/2"});
  ASSERT_EQ(store.pending(kDb).size(), 1U) << "it has failed over";
  EXPECT_EQ(store.pending(kDb)[0].verb, "stopstart");
  EXPECT_EQ(store.pending(kDb)[0].caller, "modulecheck");
  EXPECT_TRUE(store.pending(kDb)[0].automatic);
  answer(ModuleState{});
  EXPECT_EQ(value("module.store_10.0.0.9"), "down");
  answer(ModuleState{.in_service = true, .instance = "b/3"});
  EXPECT_EQ(store.pending(kDb).size(), 1U) << "this one has waited meanwhile";
}

TEST_F(CheckerTest, TheLinkOfAVirtualAddressIsChecked) {
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Pre}; });
  interfaces.interfaces[0].carrier = true;
  interfaces.interfaces[0].addresses.push_back({.ip = parse_ip("2001:db8::1").value(), .prefix_length = 64});
  pass();
  EXPECT_EQ(value("intf.2001:db8::"), "up");
  interfaces.interfaces[0].carrier = false;
  interfaces.tell();
  pass();
  EXPECT_EQ(value("intf.2001:db8::"), "down");
  interfaces.interfaces.clear();  // the whole card
  interfaces.tell();
  pass();
  EXPECT_EQ(value("intf.2001:db8::"), "down");
}

TEST_F(CheckerTest, GivesWayToAMachineThatHasTheAddressToo) {
  constexpr MacAddress kOther{2, 0, 0, 0, 0, 7};
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Prim}; });
  const auto answer = [&](std::size_t number, std::optional<MacAddress> owner) {
    ASSERT_EQ(interfaces.probes.size(), number);
    EXPECT_EQ(interfaces.probes.back().address, parse_ip("2001:db8::9").value());
    const auto task = interfaces.probes.back().answer;
    task(owner);
    pass();
  };
  pass();
  answer(1, std::nullopt);
  EXPECT_EQ(value("ip.2001:DB8::9"), "up");
  clock.advance(seconds{10});
  pass();
  answer(2, kOther);
  EXPECT_EQ(interfaces.announced.size(), 1U) << "defended, and asked again";
  EXPECT_EQ(value("ip.2001:DB8::9"), "up");
  answer(3, kOther);
  EXPECT_EQ(value("ip.2001:DB8::9"), "down");
  EXPECT_EQ(store.events(kDb, 2, false).at(0).text, "The address of ip.2001:DB8::9 is also in use by the machine with MAC address 02:00:00:00:00:07");
  clock.advance(seconds{10});
  pass();
  answer(4, std::nullopt);
  EXPECT_EQ(value("ip.2001:DB8::9"), "up");
  clock.advance(seconds{10});
  pass();
  answer(5, interfaces.interfaces[0].mac);
  EXPECT_EQ(value("ip.2001:DB8::9"), "up") << "another interface of this node answers for it";
}

TEST_F(CheckerTest, TellsWhenTheAddressIsGone) {
  store.update_status(kDb, [](status::Module& m) { m.role.watched = {status::WatchClass::Prim}; });
  pass();
  interfaces.interfaces[0].addresses.clear();
  pass();
  EXPECT_EQ(value("ip.2001:DB8::9"), "up") << "nobody has said that something changed, and its time has not come";
  interfaces.tell();
  pass();
  EXPECT_EQ(value("ip.2001:DB8::9"), "down");
  EXPECT_EQ(store.events(kDb, 1, false).at(0).text, "Resource ip.2001:DB8::9 set to down by ipcheck");
}

}  // namespace
}  // namespace safekit::checker
