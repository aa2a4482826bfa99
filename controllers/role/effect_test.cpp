#include "controllers/role/effect.h"

#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::role {
namespace {

const ModuleName kDb{"db"};

TEST(RoleController, ACopyInDoubtStaysInDoubtWhereTheKeptStateCannotBeRead) {
  fake::ManualClock clock;
  store::MemoryBackend backend;
  store::Store store{backend, clock, NodeName{"a"}};
  const auto applied = store.apply(
      {store::Kind::Module, "db"},
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror","nodes":["a","b"],)"
      R"("replication":{"directories":[{"path":"/data"}]}}})",
      {});
  ASSERT_TRUE(applied.has_value()) << applied.error().what;
  const auto start = [&] {
    RoleController controller{store, clock, "boot", {}};
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

}  // namespace
}  // namespace safekit::role
