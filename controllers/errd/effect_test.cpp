#include "controllers/errd/effect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/fixed_units.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/scripted_process.h"

namespace safekit::errd {
namespace {

const ModuleName kDb{"db"};

class ErrdTest : public ::testing::Test {
 protected:
  ErrdTest() : controller({store, clock, processes, units}, [this](const engine::Request&) { ++wakes; }) {
    const auto module = store.apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"light","nodes":["a"],)"
        R"("scripts":{},"errd":{"processes":[{"name":"server","class":"both","action":"restart"},)"
        R"({"name":"web","service":true,"class":"both"},{"name":"batch","class":"mine","action":"mend.sh"}]}}})",
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
  fake::FixedUnits units{};
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

TEST_F(ErrdTest, HearsOfWhatBeginsAndWatchesIt) {
  processes.tells_events = true;
  const ProcessIdentity first = processes.add("server", "server");
  watch({status::WatchClass::Both});
  EXPECT_TRUE(processes.is_heard());
  const ProcessIdentity shell = processes.add("sh", "sh");
  processes.tell({{ProcessEvent::Kind::Changed, shell.pid}});
  EXPECT_EQ(wakes, 0) << "nobody looks for it";
  const ProcessIdentity second = processes.add("server", "server");
  processes.tell({{ProcessEvent::Kind::Changed, second.pid}});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_EQ(processes.watch_count(), 2U);
  processes.end(first.pid, {});
  pass();
  EXPECT_EQ(value(), "up");
  processes.end(second.pid, {});
  pass();
  EXPECT_EQ(value(), "down");
  const ProcessIdentity third = processes.add("server", "server");
  processes.tell({{ProcessEvent::Kind::Changed, third.pid}});
  pass();
  EXPECT_EQ(value(), "up") << "at once, and not with the next poll";
  watch({});
  EXPECT_FALSE(processes.is_heard()) << "for nobody";
}

TEST_F(ErrdTest, CountsForksAndEndsOfWhatItKnows) {
  processes.tells_events = true;
  const ProcessIdentity server = processes.add("server", "server");
  watch({status::WatchClass::Both});
  const ProcessIdentity child = processes.add("server", "server", server.pid);
  const ProcessIdentity other = processes.add("server", "server", 1);
  processes.tell({{ProcessEvent::Kind::Forked, child.pid, server.pid}, {ProcessEvent::Kind::Forked, other.pid, 1}});
  EXPECT_EQ(wakes, 1) << "what another process forks is no server yet";
  processes.running.erase(child.pid);
  processes.tell({{ProcessEvent::Kind::Ended, child.pid}});
  EXPECT_EQ(wakes, 2);
  processes.tell({{ProcessEvent::Kind::Lost}});
  EXPECT_EQ(wakes, 3);
  clock.advance(kLostGap);
  pass();
  EXPECT_EQ(processes.watch_count(), 2U) << "the scan has found what was missed";
}

TEST_F(ErrdTest, FollowsServices) {
  units.trouble = "systemd does not answer on D-Bus (gone)";
  processes.add("server", "server");
  watch({status::WatchClass::Both});
  EXPECT_EQ(store.status(kDb).resources.at("proc.web").value, "init");
  EXPECT_EQ(store.events(kDb, 1, false).at(0).text,
            "Services are not watched: systemd does not answer on D-Bus (gone); watch their processes by name");
  units.trouble.clear();
  units.set("web.service", true);
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_EQ(store.status(kDb).resources.at("proc.web").value, "up");
  units.set("web.service", false);
  pass();
  EXPECT_EQ(store.status(kDb).errd.request->action, "stopstart");
  watch({});
  EXPECT_EQ(units.watch_count(), 0U);
}

TEST_F(ErrdTest, AClassOfTheAuthorsOwnEndsWithTheModule) {
  processes.add("server", "server");
  processes.add("batch", "batch");
  EXPECT_EQ(controller.set_class(kDb, "mine", true).error().code, Code::Conflict);
  store.update_status(kDb, [](status::Module& m) { m.role.role = status::Role::Up; });
  watch({status::WatchClass::Both});
  EXPECT_EQ(store.status(kDb).resources.at("proc.batch").value, "init");
  ASSERT_TRUE(controller.set_class(kDb, "mine", true).has_value());
  pass();
  EXPECT_EQ(store.status(kDb).resources.at("proc.batch").value, "up");
  EXPECT_EQ(store.fact("errd/db"), "0 mine");
  EXPECT_EQ(controller.set_class(kDb, "both", true).error().code, Code::Invalid);
  EXPECT_EQ(controller.set_class(kDb, "others", true).error().code, Code::Invalid);
  ErrdController next{{store, clock, processes, units}, [](const engine::Request&) {}};
  ASSERT_TRUE(next.reconcile({"db"}).has_value());
  EXPECT_THAT(next.classes("db"), ::testing::ElementsAre("mine")) << "safekitd was started anew";
  store.update_status(kDb, [](status::Module& m) { m.role.role = status::Role::Stop; });
  watch({});
  EXPECT_THAT(controller.classes("db"), ::testing::IsEmpty());
  EXPECT_EQ(store.fact("errd/db"), "0");
}

TEST_F(ErrdTest, OrdersTheHandlerOfAProcess) {
  processes.add("server", "server");
  const ProcessIdentity batch = processes.add("batch", "batch");
  store.update_status(kDb, [](status::Module& m) { m.role.role = status::Role::Up; });
  watch({status::WatchClass::Both});
  ASSERT_TRUE(controller.set_class(kDb, "mine", true).has_value());
  pass();
  processes.end(batch.pid, {});
  pass();
  const auto& handlers = store.status(kDb).errd.handlers;
  ASSERT_TRUE(handlers.contains("proc.batch"));
  EXPECT_EQ(handlers.at("proc.batch"), (status::CheckerProgram{.exec = "mend.sh", .arguments = {"db", "proc.batch"}, .once = 1}));
  processes.add("batch", "batch");
  store.update_status(kDb, [](status::Module& m) { m.script.checkers["proc.batch"] = {.count = 1, .fine = true}; });
  pass();
  EXPECT_THAT(store.status(kDb).errd.handlers, ::testing::IsEmpty());
  EXPECT_EQ(store.status(kDb).resources.at("proc.batch").value, "up");
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
