#include "controllers/replication/probe.h"

#include <gtest/gtest.h>

namespace safekit::replication {
namespace {

constexpr ProbeInput kServing{.replica = true, .serving = true, .timeout = seconds{220}, .interval = seconds{120}};
constexpr MonoTime at(int second) { return MonoTime{} + seconds{1000 + second}; }

TEST(MountProbe, AsksEachIntervalAndWaitsForTheAnswer) {
  ProbeStep step = step_probe({}, kServing, at(0));
  EXPECT_FALSE(step.start);
  EXPECT_EQ(step.recheck_after, Duration{seconds{120}});
  step = step_probe(step.next, kServing, at(119));
  EXPECT_FALSE(step.start);
  step = step_probe(step.next, kServing, at(120));
  ASSERT_TRUE(step.start);
  Probe probe = step.next;
  probe.process = ProcessIdentity{7, 7};
  step = step_probe(probe, kServing, at(339));
  EXPECT_FALSE(step.start) << "one at a time";
  EXPECT_FALSE(step.next.hung);
  EXPECT_EQ(step.recheck_after, Duration{seconds{1}});
  probe = step.next;
  probe.process.reset();  // answered
  step = step_probe(probe, kServing, at(340));
  EXPECT_TRUE(step.start) << "the interval counts from the last question";
}

TEST(MountProbe, NoAnswerInTimeStaysUntilItComesOrTheReplicaHasEnded) {
  Probe probe{.process = ProcessIdentity{7, 7}, .begun = at(0), .serving = true};
  const ProbeStep hung = step_probe(probe, kServing, at(220));
  EXPECT_TRUE(hung.next.hung);
  ProbeInput leaving = kServing;
  leaving.serving = false;
  EXPECT_TRUE(step_probe(hung.next, leaving, at(230)).next.hung) << "the module is being stopped, and it hangs still";
  Probe answered = hung.next;
  answered.process.reset();
  EXPECT_FALSE(step_probe(answered, kServing, at(240)).next.hung);
  EXPECT_EQ(step_probe(hung.next, ProbeInput{}, at(250)).next, Probe{});
}

TEST(MountProbe, AsksNobodyButAPrimary) {
  ProbeInput secondary = kServing;
  secondary.serving = false;
  for (const int second : {0, 500, 5000}) EXPECT_FALSE(step_probe({}, secondary, at(second)).start);
  const ProbeStep promoted = step_probe({}, kServing, at(5000));
  EXPECT_FALSE(promoted.start) << "it has just mounted it";
  EXPECT_TRUE(step_probe(promoted.next, kServing, at(5120)).start);
}

}  // namespace
}  // namespace safekit::replication
