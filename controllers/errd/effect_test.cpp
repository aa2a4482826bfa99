#include "controllers/errd/effect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/scripted_process.h"

namespace safekit::errd {
namespace {

const ModuleName kDb{"db"};

class ErrdTest : public ::testing::Test {
 protected:
  ErrdTest() : controller(store, clock, processes, [this](const engine::Request&) { ++wakes; }) {
    const auto module = store.apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"light","nodes":["a"],)"
        R"("scripts":{},"errd":{"processes":[{"name":"server","class":"both","action":"restart"}]}}})",
        {});
    EXPECT_TRUE(module.has_value()) << module.error().what;
  }
  void watch(std::set<status::WatchClass> classes) {
    store.update_status(kDb, [&](status::Module& m) { m.role.watched = std::move(classes); });
    pass();
  }
  void pass() {
    const auto outcome = controller.reconcile({"db"});
    ASSERT_TRUE(outcome.has_value()) << outcome.error().what;
  }
  std::string value() { return store.status(kDb).resources.at("proc.server").value; }

  fake::ManualClock clock{};
  fake::ScriptedProcesses processes{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  int wakes{0};
  ErrdController controller;
};

TEST_F(ErrdTest, AsksForARestartAsSoonAsTheProcessEnds) {
  const ProcessIdentity server = processes.add("server", "/usr/bin/server");
  const ProcessIdentity worker = processes.add("server", "/usr/bin/server", server.pid);
  watch({status::WatchClass::Both});
  EXPECT_EQ(value(), "up");
  EXPECT_EQ(processes.watch_count(), 1U);
  processes.end(worker.pid, {});
  EXPECT_EQ(wakes, 0);
  processes.end(server.pid, {});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_EQ(value(), "down");
  ASSERT_TRUE(store.status(kDb).errd.request.has_value());
  EXPECT_EQ(store.status(kDb).errd.request->action, "restart");
  EXPECT_EQ(store.events(kDb, 2, false).at(0).text, "Process server not running");
  watch({});
  EXPECT_EQ(value(), "init");
  EXPECT_FALSE(store.status(kDb).errd.request.has_value());
}

TEST_F(ErrdTest, IsSuspendedByItsSetting) {
  const ProcessIdentity server = processes.add("server", "server");
  watch({status::WatchClass::Both});
  store.update_status(kDb, [](status::Module& m) { m.settings.errd = false; });
  pass();
  EXPECT_EQ(processes.watch_count(), 0U);
  processes.end(server.pid, {});
  clock.advance(minutes{2});
  pass();
  EXPECT_FALSE(store.status(kDb).errd.request.has_value());
}

TEST_F(ErrdTest, KeepsNoFactOfADeletedModule) {
  const ProcessIdentity server = processes.add("server", "server");
  watch({status::WatchClass::Both});
  processes.end(server.pid, {});
  pass();
  ASSERT_TRUE(store.fact("errd/db").has_value());
  ASSERT_TRUE(store.remove({store::Kind::Module, "db"}, {}).has_value());
  store.forget_status(kDb);
  pass();
  EXPECT_FALSE(store.fact("errd/db").has_value());
}

}  // namespace
}  // namespace safekit::errd
