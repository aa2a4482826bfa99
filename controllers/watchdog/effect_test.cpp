#include "controllers/watchdog/effect.h"

#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::watchdog {
namespace {

const ModuleName kDb{"db"};

struct FakeWatchdog final : Watchdog {
  Result<Counting> answer{Counting{.limit = seconds{20}}};
  int begun{0};
  int fed{0};
  int ended{0};
  Result<Counting> begin(Duration) override {
    ++begun;
    return answer;
  }
  Status feed() override {
    ++fed;
    return {};
  }
  bool stays{false};
  Status end() override {
    ++ended;
    return stays ? Status{Error{Code::Unsupported, "it cannot be stopped"}} : Status{};
  }
};

class WatchdogTest : public ::testing::Test {
 protected:
  WatchdogTest() {
    EXPECT_TRUE(store.apply({store::Kind::Module, "db"},
                            R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"light","nodes":["a"]}})", {}));
  }
  std::unique_ptr<WatchdogController> make() {
    return std::make_unique<WatchdogController>(WatchdogController::Ports{store, clock, device}, seconds{20}, boot);
  }
  Duration look() { return controller->reconcile({"watchdog"})->requeue_after.value_or(Duration{}); }
  void enter(status::Role role) {
    store.update_status(kDb, [role](status::Module& m) { m.role.role = role; });
  }
  [[nodiscard]] std::string said() const {
    const auto events = store.events(ModuleName{}, 1, true);
    return events.empty() ? "" : events.back().text;
  }

  FakeWatchdog device{};
  fake::ManualClock clock{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  std::string boot{"boot1"};
  std::unique_ptr<WatchdogController> controller{make()};
};

TEST_F(WatchdogTest, CountsFromTheStartOfAModuleToItsStop) {
  look();
  EXPECT_EQ(device.begun, 0);
  enter(status::Role::Wait);
  EXPECT_EQ(look(), seconds{5});
  EXPECT_EQ(device.begun, 1);
  EXPECT_EQ(said(), "The watchdog counts: a node that hangs for 20s is reset");
  clock.advance(seconds{5});
  EXPECT_EQ(look(), seconds{5});
  EXPECT_EQ(device.fed, 1);
  enter(status::Role::Stop);
  look();
  EXPECT_EQ(device.ended, 1);
  EXPECT_EQ(said(), "The watchdog is stopped");
}

TEST_F(WatchdogTest, EndsWithSafekitdInOrder) {
  enter(status::Role::Alone);
  look();
  controller.reset();
  EXPECT_EQ(device.ended, 1);
}

TEST_F(WatchdogTest, WhatCouldNotBeStoppedIsFedByTheNextSafekitdAsWell) {
  device.stays = true;
  enter(status::Role::Alone);
  look();
  enter(status::Role::Stop);
  EXPECT_EQ(look(), seconds{5});
  EXPECT_EQ(device.ended, 1);
  EXPECT_EQ(said(), "it cannot be stopped");
  clock.advance(seconds{5});
  EXPECT_EQ(look(), seconds{5});
  EXPECT_EQ(device.fed, 1);
  controller.reset();
  controller = make();
  device.answer->can_be_ended = false;
  EXPECT_EQ(look(), seconds{5});
  EXPECT_EQ(device.begun, 2);
  controller.reset();
  boot = "boot2";
  controller = make();
  look();
  EXPECT_EQ(device.begun, 2);
}

TEST_F(WatchdogTest, TellsWhenItCannotBeHadAndTriesAgain) {
  device.answer = Error{Code::Conflict, "'/dev/watchdog' is in use"};
  enter(status::Role::Alone);
  EXPECT_EQ(look(), kBeginAgain);
  ASSERT_EQ(store.status(kDb).conditions.size(), 1U);
  EXPECT_EQ(store.status(kDb).conditions[0].message,
            "No watchdog: '/dev/watchdog' is in use. A node that hangs is not reset; safekitd tries again by itself");
  EXPECT_EQ(said(), store.status(kDb).conditions[0].message);
  look();
  EXPECT_EQ(device.begun, 1);
  device.answer = Watchdog::Counting{.limit = seconds{20}};
  clock.advance(kBeginAgain);
  look();
  EXPECT_EQ(device.begun, 2);
  EXPECT_TRUE(store.status(kDb).conditions.empty());
}

TEST_F(WatchdogTest, WhereNothingIsStartedNoneIsMissed) {
  device.answer = Error{Code::NotFound, "there is none"};
  enter(status::Role::Alone);
  look();
  EXPECT_EQ(store.status(kDb).conditions.size(), 1U);
  enter(status::Role::Stop);
  look();
  EXPECT_TRUE(store.status(kDb).conditions.empty());
}

}  // namespace
}  // namespace safekit::watchdog
