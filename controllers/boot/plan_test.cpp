#include "controllers/boot/plan.h"

#include <gtest/gtest.h>

#include "controllers/boot/effect.h"
#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::boot {
namespace {

using spec::BootPolicy;

TEST(BootPlan, FollowsThePolicyUnlessTheCommandSaysOtherwise) {
  struct Row {
    BootPolicy policy;
    std::optional<bool> command;
    bool ran;
    bool starts;
  };
  const std::vector<Row> rows{
      {BootPolicy::On, {}, false, true},     {BootPolicy::Off, {}, true, false},
      {BootPolicy::Auto, {}, true, true},    {BootPolicy::Auto, {}, false, false},
      {BootPolicy::Ignore, {}, true, false}, {BootPolicy::Ignore, true, false, true},
      {BootPolicy::On, false, true, false},  {BootPolicy::Off, true, false, true},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(wants_start({.boot = {.policy = row.policy}, .command = row.command}, row.ran), row.starts);
  }
}

TEST(BootPlan, StartsOncePerBootAfterItsDelay) {
  const Desired desired{.boot = {.policy = BootPolicy::On, .delay = seconds{20}}};
  Observed observed{.boot_id = "now", .handled = "before", .since_boot_seen = seconds{5}};
  EXPECT_EQ(decide(desired, observed), (Plan{.recheck_after = seconds{15}}));
  observed.since_boot_seen = seconds{20};
  EXPECT_EQ(decide(desired, observed), (Plan{.start = true, .handled = true}));
  observed.handled = "now";
  EXPECT_EQ(decide(desired, observed), Plan{});
  observed.handled.reset();  // a module applied after the boot
  EXPECT_EQ(decide(desired, observed), Plan{.handled = true});
  observed.handled = "before";
  observed.stopped = false;
  EXPECT_EQ(decide(desired, observed), Plan{.handled = true});
}

class BootTest : public ::testing::Test {
 protected:
  BootTest() {
    boot("first");
    const auto module = store->apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"light","nodes":["a"],"boot":"auto"}})",
        {});
    EXPECT_TRUE(module.has_value()) << module.error().what;
  }
  /// safekitd comes up; the machine has this boot id.
  void boot(const std::string& id) {
    controller.reset();
    store = std::make_unique<store::Store>(backend, clock, NodeName{"a"});
    controller = std::make_unique<BootController>(*store, clock, id);
  }
  void role(status::Role role) {
    store->update_status(ModuleName{"db"}, [&](status::Module& m) {
      m.role.since = WallTime{1};
      m.role.role = role;
    });
    ASSERT_TRUE(controller->reconcile({"db"}).has_value());
  }
  std::size_t starts() { return store->pending(ModuleName{"db"}).size(); }

  fake::ManualClock clock{};
  store::MemoryBackend backend{};
  std::unique_ptr<store::Store> store{};
  std::unique_ptr<BootController> controller{};
};

TEST_F(BootTest, StartsAgainWhatRanBeforeTheReboot) {
  role(status::Role::Stop);
  role(status::Role::Up);
  boot("first");  // only safekitd was restarted
  role(status::Role::Up);
  EXPECT_EQ(starts(), 0U);
  boot("second");
  role(status::Role::Stop);
  ASSERT_EQ(starts(), 1U);
  EXPECT_EQ(store->pending(ModuleName{"db"})[0].caller, "at boot time");
  role(status::Role::Stop);
  EXPECT_EQ(starts(), 1U);
}

TEST_F(BootTest, LeavesWhatWasStoppedButNotWhatTheShutdownStopped) {
  role(status::Role::Up);
  role(status::Role::Stop);
  boot("second");
  role(status::Role::Stop);
  EXPECT_EQ(starts(), 0U);
  role(status::Role::Up);
  controller->hold();
  role(status::Role::Stop);
  boot("third");
  role(status::Role::Stop);
  EXPECT_EQ(starts(), 1U);
}

}  // namespace
}  // namespace safekit::boot
