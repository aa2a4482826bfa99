#include "controllers/script/asked_runs.h"

#include <gtest/gtest.h>

namespace safekit::script {
namespace {

using Phase = Asked::Phase;

TEST(AskedRuns, TheApplicationByHandHasItsAddressesAroundIt) {
  Asked start{.kind = AskedKind::Start, .phase = Phase::SetAddresses};
  EXPECT_EQ(next_step(start, false, {}), AskedStep::Wait);
  EXPECT_EQ(next_step(start, false, {.problem = "in use"}), AskedStep::Fail);
  EXPECT_EQ(next_step(start, false, {.all_set = true, .all_unset = false}), AskedStep::RunScript);
  start.phase = Phase::Script;
  EXPECT_EQ(next_step(start, false, {}), AskedStep::Wait);
  EXPECT_EQ(next_step(start, true, {}), AskedStep::End);
  Asked stop{.kind = AskedKind::Stop, .phase = Phase::Script};
  EXPECT_EQ(next_step(stop, true, {}), AskedStep::ReleaseAddresses);
  stop.phase = Phase::UnsetAddresses;
  EXPECT_EQ(next_step(stop, true, {.all_unset = false}), AskedStep::Wait);
  EXPECT_EQ(next_step(stop, true, {}), AskedStep::End);
}

TEST(AskedRuns, OnlyAStoppedModuleIsRunByHand) {
  status::Module module;
  EXPECT_EQ(refusal_of(AskedKind::Start, module), "");
  module.role.role = status::Role::Prim;
  EXPECT_NE(refusal_of(AskedKind::Start, module), "");
  EXPECT_NE(refusal_of(AskedKind::Stop, module), "");
  EXPECT_EQ(refusal_of(AskedKind::State, module), "");
}

TEST(AskedRuns, EachKindHasItsScript) {
  const auto both = [](const std::string& name) { return name == "start_both" || name == "stop_both" || name == "level"; };
  EXPECT_EQ(script_of(AskedKind::Start, both), "start_both");
  EXPECT_EQ(script_of(AskedKind::Stop, both), "stop_both");
  EXPECT_EQ(script_of(*parse_asked("level"), both), "level");
  EXPECT_EQ(script_of(*parse_asked("confcheck"), both), "");
  EXPECT_EQ(parse_asked("start_prim"), std::nullopt);
}

}  // namespace
}  // namespace safekit::script
