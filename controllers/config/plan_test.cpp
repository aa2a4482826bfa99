#include "controllers/config/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/config/effect.h"
#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"

namespace safekit::config {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ConfigPlan, NamesTheNodesInConflict) {
  const status::Condition ready{.type = "Ready", .is_true = true};
  auto conditions = decide("db", {.conflicting = {NodeName{"b"}}, .unhonoured = {}}, {ready}, WallTime{5});
  ASSERT_EQ(conditions.size(), 2U);
  EXPECT_EQ(conditions[0], ready);
  EXPECT_EQ(conditions[1].type, "ConfigConflict");
  EXPECT_THAT(conditions[1].message, HasSubstr("also changed on b "));
  EXPECT_EQ(conditions[1].since, WallTime{5});
  const auto later =
      decide("db", {.conflicting = {NodeName{"b"}}, .unhonoured = {}}, conditions, WallTime{9});
  EXPECT_EQ(later, conditions);
  EXPECT_EQ(decide("db", {}, conditions, WallTime{9}), std::vector{ready});
}

TEST(ConfigPlan, ListsSettingsWithoutEffect) {
  const auto conditions =
      decide("db", {.conflicting = {}, .unhonoured = {{"spec.a", "not yet"}, {"spec.b", "ignored"}}}, {},
             WallTime{5});
  ASSERT_EQ(conditions.size(), 1U);
  EXPECT_EQ(conditions[0].message, "spec.a: not yet; spec.b: ignored");
}

TEST(ConfigController, TellsOfSettingsOnlyWhereTheModuleIs) {
  fake::ManualClock clock;
  store::MemoryBackend backend;
  store::Store store{backend, clock, NodeName{"a"}};
  ConfigController controller{store, clock};
  const auto apply = [&](const std::string& name, const std::string& node) {
    const std::string spec = R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":")" + name +
                             R"("},"spec":{"mode":"light","nodes":[")" + node +
                             R"("],"virtualHostnames":[{"name":"db","envFile":"host.env"}]}})";
    ASSERT_TRUE(store.apply({store::Kind::Module, name}, spec, {}).has_value());
    ASSERT_TRUE(controller.reconcile({name}).has_value());
  };
  apply("here", "a");
  apply("there", "b");
  EXPECT_EQ(store.status(ModuleName{"here"}).conditions.at(0).type, "NotHonoured");
  EXPECT_THAT(store.status(ModuleName{"there"}).conditions, IsEmpty());
}

}  // namespace
}  // namespace safekit::config
