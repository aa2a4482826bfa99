#include "controllers/role/effect.h"

#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/kept_power.h"
#include "schema/fake/manual_clock.h"

namespace safekit::role {
namespace {

const ModuleName kDb{"db"};

TEST(RoleController, ACopyInDoubtStaysInDoubtWhereTheKeptStateCannotBeRead) {
  fake::ManualClock clock;
  fake::KeptPower power;
  store::MemoryBackend backend;
  store::Store store{backend, clock, NodeName{"a"}};
  const auto applied = store.apply(
      {store::Kind::Module, "db"},
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror","nodes":["a","b"],)"
      R"("replication":{"directories":[{"path":"/data"}]}}})",
      {});
  ASSERT_TRUE(applied.has_value()) << applied.error().what;
  const auto start = [&] {
    RoleController controller{{store, clock, power}, "boot", {}, [](const engine::Request&) {}};
    controller.adopt();
    const auto outcome = controller.reconcile({"db"});
    ASSERT_TRUE(outcome.has_value()) << outcome.error().what;
  };
  start();
  ASSERT_EQ(store.fact("role.paired.db"), "0");
  ASSERT_TRUE(store.set_fact("role.paired.db", "1", true));
  ASSERT_TRUE(store.set_fact("role.memory.db", "99 of a later version", false));
  start();
  EXPECT_TRUE(store.status(kDb).role.paired) << "else it would start alone, without having heard the other node";
  EXPECT_EQ(store.fact("role.paired.db"), "1");
}

/// A light module, its commands and what the other controllers would say at once.
struct Light {
  fake::ManualClock clock;
  fake::KeptPower power;
  store::MemoryBackend backend;
  store::Store store{backend, clock, NodeName{"a"}};
  std::vector<std::string> woken{};
  RoleController controller{{store, clock, power}, "boot", {}, [this](const engine::Request& request) { woken.push_back(request.name); }};

  explicit Light(const std::string& spec) {
    const auto applied = store.apply({store::Kind::Module, "db"},
                                     R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"light","nodes":["a"])" +
                                         spec + "}}",
                                     {});
    EXPECT_TRUE(applied.has_value()) << applied.error().what;
    settle();
  }
  void settle() {
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(controller.reconcile({"db"}).has_value());
      store.update_status(kDb, [](status::Module& m) {
        m.failover.watched = m.role.watched;
        m.addresses = {.all_set = m.role.addresses_wanted, .all_unset = !m.role.addresses_wanted, .probed = true};
      });
    }
  }
  void command(std::string verb, bool automatic = false) {
    store::Operation operation;
    operation.module = "db";
    operation.verb = std::move(verb);
    operation.caller = "errd";
    operation.automatic = automatic;
    ASSERT_TRUE(store.submit(operation).has_value());
    settle();
  }
  std::string value(const std::string& resource) { return store.status(kDb).resources.at(resource).value; }
};

TEST(RoleController, ARebootIsAskedForOnceAndARefusedOneStartsTheModuleAgain) {
  Light light{R"(,"automaticReboot":true)"};
  light.command("start");
  EXPECT_EQ(light.value("state.local"), "UP Ready");
  light.command("stopstart", true);
  EXPECT_EQ(light.value("state.local"), "STOP NotReady");
  ASSERT_EQ(light.power.asked.size(), 1U);
  light.power.asked.front()(Error{Code::Denied, "no"});
  EXPECT_EQ(light.woken, std::vector<std::string>{"db"});
  light.settle();
  EXPECT_EQ(light.value("state.local"), "UP Ready");
  EXPECT_EQ(light.power.asked.size(), 1U);
}

TEST(RoleController, TheCounterShowsSinceWhenItCountsAndWhetherItStopped) {
  Light light{R"(,"maxLoop":1)"};
  light.clock.advance(seconds{100});
  light.command("start");
  const std::string began = light.value("heart.stopstartloop");
  EXPECT_NE(began, "0");
  EXPECT_EQ(light.value("heart.maxloop"), "false");
  light.clock.advance(seconds{10});
  light.command("restart", true);
  const std::string first = light.value("heart.stopstartloop");
  EXPECT_EQ(std::stoll(first), std::stoll(began) + 10) << "the first action that counts begins it";
  light.clock.advance(seconds{10});
  light.command("restart", true);
  EXPECT_EQ(light.value("heart.maxloop"), "true");
  EXPECT_EQ(light.value("state.local"), "STOP NotReady");
  EXPECT_EQ(light.value("heart.stopstartloop"), first);
  EXPECT_EQ(light.store.status(kDb).resources.at("heart.stopstartloop").assigned, light.clock.wall_now());
}

}  // namespace
}  // namespace safekit::role
