#include "controllers/lease/fencing.h"

#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/manual_loop.h"
#include "schema/fake/memory_files.h"
#include "schema/fake/scripted_process.h"
#include "schema/fake/scripted_witness.h"

namespace safekit::lease {
namespace {

class FencingTest : public ::testing::Test {
 protected:
  FencingTest() {
    asked.place = {.kind = WitnessPlace::Kind::Fence, .addresses = {"/sbin/off", "-x"}, .other_node = "b"};
    asked.name = "safekit/c/db";
    asked.holder = "a";
  }
  std::unique_ptr<Fencing> make() {
    return std::make_unique<Fencing>(Fencing::Ports{store, loop, clock, processes, files}, others, "/state", boot);
  }
  /// Of the answers, the last one.
  std::optional<LeaseReply> ask() {
    last.reset();
    fencing->acquire(asked, seconds{1}, [this](const Result<LeaseReply>& reply) {
      ASSERT_TRUE(reply.has_value());
      last = *reply;
    });
    loop.run_posted();
    return last;
  }
  void end(int code) {
    processes.end(processes.running.rbegin()->first, ExitStatus{.code = code});
    loop.run_posted();
  }
  std::string said() { return store.events(ModuleName{"db"}, 1, true).back().text; }

  LeaseAsk asked{};
  std::optional<LeaseReply> last{};
  fake::ManualClock clock{};
  fake::ManualLoop loop{clock};
  fake::ScriptedProcesses processes{};
  fake::MemoryFiles files{};
  fake::ScriptedWitness others{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  std::string boot{"boot1"};
  std::unique_ptr<Fencing> fencing{make()};
};

TEST_F(FencingTest, GrantsWhenTheProgramHasEndedWell) {
  EXPECT_FALSE(ask());
  ASSERT_EQ(processes.started.size(), 1U);
  EXPECT_EQ(processes.started[0].argv, (std::vector<std::string>{"/sbin/off", "-x", "b", "secondary"}));
  EXPECT_FALSE(ask()) << "one at a time";
  ASSERT_EQ(processes.started.size(), 1U);
  end(0);
  ASSERT_TRUE(last);
  EXPECT_TRUE(last->granted);
  EXPECT_GT(last->length, minutes{1});
  EXPECT_EQ(said(), "'b' is switched off");
  EXPECT_TRUE(ask()->granted);
  EXPECT_EQ(processes.started.size(), 1U);
}

TEST_F(FencingTest, ASafekitdThatStartsKnowsWhatWasSwitchedOffInThisBoot) {
  ask();
  end(0);
  fencing = make();
  asked.only_mine = true;
  EXPECT_TRUE(ask()->granted);
  asked.place.other_node = "c";
  EXPECT_FALSE(ask()->granted);
  asked.place.other_node = "b";
  boot = "boot2";
  fencing = make();
  EXPECT_FALSE(ask()->granted);
  EXPECT_EQ(processes.started.size(), 1U);
}

TEST_F(FencingTest, AFullStateDiskKeepsNothingFromBeingKnown) {
  backend.refuse(true, true);
  ask();
  end(0);
  EXPECT_TRUE(ask()->granted);
  fencing->note_heard("db");
  EXPECT_FALSE(ask());
  asked.only_mine = true;
  EXPECT_TRUE(ask()->granted);
  EXPECT_EQ(processes.started.size(), 2U);
}

TEST_F(FencingTest, WhatIsGivenBackIsDoneAgain) {
  ask();
  end(0);
  fencing->release(asked, seconds{1}, [](const Status& status) { EXPECT_TRUE(status); });
  loop.run_posted();
  EXPECT_FALSE(ask());
  EXPECT_EQ(processes.started.size(), 2U);
}

TEST_F(FencingTest, OneThatWasHeardSinceIsSwitchedOffAnew) {
  ask();
  end(0);
  fencing->note_heard("db");
  fencing->note_heard("db");
  fencing = make();
  asked.only_mine = true;
  EXPECT_TRUE(ask()->granted);
  asked.only_mine = false;
  EXPECT_FALSE(ask());
  ASSERT_EQ(processes.started.size(), 2U);
  end(0);
  EXPECT_TRUE(ask()->granted);
  EXPECT_EQ(processes.started.size(), 2U);
}

// It may have been off before, and be complete by now.
TEST_F(FencingTest, OneThatIsHeardWhileTheProgramRunsIsLeftAlone) {
  for (const int code : {0, 1}) {
    processes.signals.clear();
    std::optional<Error> error;
    fencing->acquire(asked, seconds{1}, [&error](const Result<LeaseReply>& reply) { error = reply.error(); });
    loop.run_posted();
    fencing->note_heard("db");
    fencing->note_heard("db");
    ASSERT_EQ(processes.signals.size(), 1U);
    EXPECT_EQ(processes.signals[0].second, SIGKILL);
    end(code);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->what, "'b' is heard again: the program that is to switch it off is ended");
  }
  EXPECT_FALSE(ask()) << "at once";
  ASSERT_EQ(processes.started.size(), 3U);
  end(0);
  EXPECT_TRUE(last->granted);
}

TEST_F(FencingTest, TheProgramOfASafekitdThatDiedIsEnded) {
  ask();
  const int left = processes.running.rbegin()->first;
  fencing = make();
  fencing->note_heard("db");
  ASSERT_EQ(processes.signals.size(), 1U);
  EXPECT_EQ(processes.signals[0], (std::pair{left, SIGKILL}));
  fencing = make();
  fencing->note_heard("db");
  EXPECT_EQ(processes.signals.size(), 1U);
}

TEST_F(FencingTest, WhatIsKnownOfAnotherNodeIsNoAnswer) {
  ask();
  asked.place.other_node = "c";
  const auto reply = ask();
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->granted);
  EXPECT_EQ(reply->detail, "'b' is being switched off");
}

TEST_F(FencingTest, WhoAsksForItsOwnSwitchesNobodyOff) {
  asked.only_mine = true;
  const auto reply = ask();
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->granted);
  EXPECT_EQ(reply->holder, "");
  EXPECT_TRUE(processes.started.empty());
}

TEST_F(FencingTest, AFailureIsANoAndIsTriedAgainLater) {
  asked.serves = true;
  ask();
  EXPECT_EQ(processes.started[0].argv.back(), "primary");
  ASSERT_TRUE(files.put("/state/fence/db.output", "connecting\nno route to 10.0.0.9\n", 0600));
  end(1);
  ASSERT_TRUE(last);
  EXPECT_FALSE(last->granted);
  EXPECT_EQ(last->detail, "'b' was not switched off: /sbin/off: exit code 1: no route to 10.0.0.9");
  EXPECT_EQ(said(), last->detail);
  EXPECT_FALSE(ask()->granted);
  EXPECT_EQ(processes.started.size(), 1U);
  loop.advance(Fencing::kAgain);
  EXPECT_FALSE(ask());
  ASSERT_EQ(processes.started.size(), 2U);
  end(0);
  EXPECT_TRUE(last->granted);
}

TEST_F(FencingTest, AProgramThatIsLateIsKilled) {
  ask();
  loop.advance(kFenceLimit);
  ASSERT_EQ(processes.signals.size(), 1U);
  EXPECT_EQ(processes.signals[0].second, SIGKILL);
  EXPECT_FALSE(last);
  processes.end(processes.running.rbegin()->first, ExitStatus{.signal = SIGKILL});
  loop.run_posted();
  ASSERT_TRUE(last);
  EXPECT_FALSE(last->granted);
  EXPECT_EQ(last->detail, "'b' was not switched off: /sbin/off: it took longer than 1m");
}

TEST_F(FencingTest, OtherKindsArePassedOn) {
  asked.place.kind = WitnessPlace::Kind::Etcd;
  EXPECT_FALSE(ask());
  fencing->release(asked, seconds{1}, [](const Status&) {});
  fencing->probe(asked.place, seconds{1}, [](const Status&) {});
  EXPECT_EQ(others.acquired.size(), 1U);
  EXPECT_EQ(others.released.size(), 1U);
  EXPECT_EQ(others.probed.size(), 1U);
}

TEST_F(FencingTest, TheCheckerLooksForTheProgram) {
  const auto is_up = [this] {
    bool up = false;
    fencing->probe(asked.place, seconds{1}, [&up](const Status& status) { up = status.has_value(); });
    loop.run_posted();
    return up;
  };
  EXPECT_FALSE(is_up());
  ASSERT_TRUE(files.put("/sbin/off", "#!/bin/sh\n", 0755));
  EXPECT_TRUE(is_up());
}

}  // namespace
}  // namespace safekit::lease
