#include "controllers/script/config_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::script {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::VariantWith;

struct Bench {
  ConfigDesired desired{.version = 7, .materialised = true, .has_config = true, .has_postconfig = true};
  ConfigMemory memory{};
  MonoTime now{seconds{100}.count()};
  ConfigPlan pass(Duration after = {}) {
    now = now + after;
    ConfigPlan plan = decide_config(desired, memory, now);
    memory = plan.memory;
    return plan;
  }
  void end(int code) { memory.run->exit_code = code; }
};
auto starts(const std::string& script) { return ElementsAre(VariantWith<StartConfig>(StartConfig{script})); }

TEST(ConfigPlan, RunsBothOnceForARevision) {
  Bench bench;
  bench.desired.materialised = false;
  EXPECT_TRUE(is_configuring(bench.desired, bench.memory));
  EXPECT_THAT(bench.pass().actions, IsEmpty());
  bench.desired.materialised = true;
  EXPECT_THAT(bench.pass().actions, starts("config"));
  EXPECT_THAT(bench.pass().actions, IsEmpty());
  bench.end(0);
  EXPECT_THAT(bench.pass().actions, starts("postconfig"));
  bench.end(0);
  EXPECT_THAT(bench.pass().actions, IsEmpty());
  EXPECT_EQ(bench.memory, (ConfigMemory{.version = 7}));
  EXPECT_FALSE(is_configuring(bench.desired, bench.memory));
  EXPECT_EQ(decode_config(encode(bench.memory)), bench.memory);
  bench.memory.again = true;
  EXPECT_THAT(bench.pass().actions, starts("config"));
}

TEST(ConfigPlan, AFailureEndsItAndStaysUntilTheNextRevision) {
  Bench bench;
  bench.pass();
  bench.memory.run->output_file = "/out";
  bench.end(3);
  EXPECT_EQ(bench.pass().failure, "script config ended with exit code 3");
  EXPECT_THAT(bench.pass().actions, IsEmpty());
  EXPECT_EQ(bench.memory.problem, "script config ended with exit code 3");
  EXPECT_EQ(bench.memory.output_file, "/out");
  EXPECT_EQ(decode_config(encode(bench.memory)), bench.memory);
  bench.desired.version = 8;
  bench.desired.has_config = bench.desired.has_postconfig = false;
  bench.pass();
  EXPECT_EQ(bench.memory, (ConfigMemory{.version = 8}));
}

TEST(ConfigPlan, ARevisionThatComesMeanwhileIsConfiguredAfterIt) {
  Bench bench;
  bench.pass();
  bench.desired.version = 8;
  bench.end(0);
  bench.pass();
  EXPECT_EQ(bench.memory.version, 7U);
  EXPECT_THAT(bench.pass().actions, starts("config"));
  EXPECT_EQ(bench.memory.run->version, 8U);
}

TEST(ConfigPlan, WhatDoesNotEndIsEnded) {
  Bench bench;
  bench.pass();
  EXPECT_THAT(bench.pass(kConfigScriptMax).actions, ElementsAre(VariantWith<EndConfig>(EndConfig{.kill = false})));
  EXPECT_THAT(bench.pass(seconds{1}).actions, IsEmpty());
  EXPECT_THAT(bench.pass(seconds{5}).actions, ElementsAre(VariantWith<EndConfig>(EndConfig{.kill = true})));
  bench.end(137);
  EXPECT_EQ(bench.pass().failure, "script config was ended after its time limit of 10m");
}

TEST(ConfigPlan, ADeletedModuleIsDeconfiguredIfItWasConfigured) {
  Bench bench;
  bench.desired = {.version = 0, .has_deconfig = true};
  EXPECT_TRUE(bench.pass().over);
  bench.memory.version = 7;
  EXPECT_THAT(bench.pass().actions, starts("deconfig"));
  EXPECT_FALSE(bench.pass().over);
  bench.end(1);
  EXPECT_TRUE(bench.pass().over);
}

}  // namespace
}  // namespace safekit::script
