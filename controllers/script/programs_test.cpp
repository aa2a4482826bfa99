#include "controllers/script/programs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controllers/script/plan.h"

namespace safekit::script {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::VariantWith;

constexpr MonoTime kNow{100'000'000'000};
const std::string kDisk = "custom.disk";

struct Bench {
  ProgramPlan pass(Duration later = {}) {
    now = now + later;
    ProgramPlan plan = decide_programs(wanted, programs, now);
    programs = plan.programs;
    return plan;
  }
  void end(int exit_code) { note_end(programs.at(kDisk), exit_code, now); }
  std::map<std::string, status::CheckerProgram> wanted{{kDisk, {.exec = "disk.sh"}}};
  Programs programs{};
  MonoTime now{kNow};
};

TEST(CheckerPrograms, ALongLivedOneIsStartedAgainAndEndedWithItsClass) {
  Bench bench;
  EXPECT_THAT(bench.pass().actions, ElementsAre(VariantWith<StartProgram>(StartProgram{kDisk})));
  EXPECT_THAT(bench.pass(hours{1}).actions, IsEmpty()) << "it may run for ever";
  bench.end(1);
  EXPECT_EQ(bench.pass().recheck_after, kStartAgain);
  EXPECT_EQ(bench.programs.at(kDisk).runs, 0U) << "its end is no verdict";
  EXPECT_THAT(bench.pass(kStartAgain).actions, ElementsAre(VariantWith<StartProgram>(StartProgram{kDisk})));
  bench.wanted.clear();
  const ProgramPlan ended = bench.pass();
  EXPECT_THAT(ended.actions, ElementsAre(VariantWith<EndProgram>(EndProgram{kDisk, false})));
  EXPECT_EQ(ended.recheck_after, kGrace);
  EXPECT_THAT(bench.pass(seconds{1}).actions, IsEmpty());
  EXPECT_THAT(bench.pass(kGrace).actions, ElementsAre(VariantWith<EndProgram>(EndProgram{kDisk, true})));
  bench.end(137);
  bench.pass();
  EXPECT_THAT(bench.programs, IsEmpty());
}

TEST(CheckerPrograms, OneWithAnIntervalIsRunEachTimeAndJudged) {
  Bench bench;
  bench.wanted[kDisk].interval = seconds{10};
  bench.wanted[kDisk].timeout = seconds{3};
  EXPECT_EQ(bench.pass().recheck_after, seconds{3});
  bench.now = bench.now + seconds{1};
  bench.end(0);
  EXPECT_EQ(bench.programs.at(kDisk).runs, 1U);
  EXPECT_TRUE(bench.programs.at(kDisk).fine);
  EXPECT_EQ(bench.pass().recheck_after, seconds{9});
  bench.pass(seconds{9});
  bench.end(2);
  EXPECT_FALSE(bench.programs.at(kDisk).fine);
  bench.pass(seconds{10});
  EXPECT_THAT(bench.pass(seconds{3}).actions, ElementsAre(VariantWith<EndProgram>(EndProgram{kDisk, false})));
  bench.end(0);
  EXPECT_EQ(bench.programs.at(kDisk).runs, 3U);
  EXPECT_FALSE(bench.programs.at(kDisk).fine) << "too late, whatever it says";
}

TEST(CheckerPrograms, AnotherProgramFollowsWhenTheOldOneHasEnded) {
  Bench bench;
  bench.pass();
  bench.wanted[kDisk].exec = "other.sh";
  EXPECT_THAT(bench.pass().actions, ElementsAre(VariantWith<EndProgram>(EndProgram{kDisk, false})));
  bench.end(143);
  EXPECT_THAT(bench.pass().actions, ElementsAre(VariantWith<StartProgram>(StartProgram{kDisk})));
  EXPECT_EQ(bench.programs.at(kDisk).program.exec, "other.sh");
}

TEST(CheckerPrograms, WhatIsWantedAgainWhileItEndsIsStartedAtOnce) {
  Bench bench;
  const auto wanted = bench.wanted;
  bench.pass();
  bench.wanted.clear();
  bench.pass();
  bench.wanted = wanted;
  EXPECT_THAT(bench.pass(kGrace).actions, ElementsAre(VariantWith<EndProgram>(EndProgram{kDisk, true}))) << "it does not heed SIGTERM";
  bench.end(137);
  EXPECT_THAT(bench.pass().actions, ElementsAre(VariantWith<StartProgram>(StartProgram{kDisk})));
}

TEST(CheckerPrograms, AHandlerRunsOnce) {
  Bench bench;
  bench.wanted = {{"proc.db", {.exec = "mend", .once = 3}}};
  EXPECT_THAT(bench.pass().actions, ElementsAre(VariantWith<StartProgram>(StartProgram{"proc.db"})));
  note_end(bench.programs.at("proc.db"), 1, bench.now);
  EXPECT_THAT(bench.pass(seconds{60}).actions, IsEmpty());
  EXPECT_EQ(bench.programs.at("proc.db").runs, 3U);
  EXPECT_FALSE(bench.programs.at("proc.db").fine);
  bench.wanted.at("proc.db").once = 4;
  EXPECT_THAT(bench.pass().actions, ElementsAre(VariantWith<StartProgram>(StartProgram{"proc.db"})));
  note_end(bench.programs.at("proc.db"), 0, bench.now);
  EXPECT_TRUE(bench.programs.at("proc.db").fine);
}

}  // namespace
}  // namespace safekit::script
