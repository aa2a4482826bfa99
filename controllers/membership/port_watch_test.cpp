#include "controllers/membership/port_watch.h"

#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::membership {

TEST(PortWatch, NamesThePortItsHolderAndTheFixUntilItIsFree) {
  fake::ManualClock clock;
  store::MemoryBackend backend;
  store::Store store{backend, clock, NodeName{"a"}};
  ASSERT_TRUE(store.apply({store::Kind::Module, "db"},
                          R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},)"
                          R"("spec":{"mode":"light","nodes":["a"],"scripts":{}}})",
                          {}).has_value());
  const ModuleName db{"db"};
  PortWatch watch{store};
  const TakenPort taken{.transport = "TCP", .port = 9453, .address = "::", .holder = "nginx (pid 812)", .effect = "no HTTPS"};
  for (int i = 0; i < 3; ++i) watch.update({taken}, WallTime{1});
  const auto events = store.events(ModuleName{}, 10, true);
  ASSERT_EQ(events.size(), 1U) << "once, however often it is tried";
  EXPECT_EQ(events[0].text,
            "TCP port 9453 on :: is taken by nginx (pid 812): no HTTPS; end that program or give it another port, safekitd "
            "tries again by itself");
  ASSERT_EQ(store.status(db).conditions.size(), 1U);
  EXPECT_EQ(store.status(db).conditions[0].type, "PortsOpen");
  EXPECT_FALSE(store.status(db).conditions[0].is_true);
  EXPECT_EQ(store.status(db).conditions[0].message, watch.problem());
  watch.update({}, WallTime{2});
  EXPECT_EQ(store.events(ModuleName{}, 1, true).at(0).text, "TCP port 9453 on :: is open");
  EXPECT_TRUE(store.status(db).conditions.empty());
  EXPECT_EQ(watch.problem(), "");
}

}  // namespace safekit::membership
