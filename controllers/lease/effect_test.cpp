#include "controllers/lease/effect.h"

#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/scripted_witness.h"

namespace safekit::lease {
namespace {

const ModuleName kDb{"db"};

class FakeEcho final : public EchoProbe {
 public:
  std::vector<std::pair<std::string, std::function<void(Status)>>> asked{};
  void echo(const std::string& host, Duration, std::function<void(Status)> task) override { asked.emplace_back(host, std::move(task)); }
};

class LeaseTest : public ::testing::Test {
 protected:
  void configure(const std::string& settings) {
    const auto module = store.apply({store::Kind::Module, "db"},
                                    R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
                                    R"("nodes":["a","b"],"heartbeats":{"lans":["net"]},"checkers":{"splitBrain":{"ident":"w",)" +
                                        settings + "}}}}",
                                    {});
    ASSERT_TRUE(module.has_value()) << module.error().what;
  }
  void need(status::LeaseNeed need) {
    store.update_status(kDb, [need](status::Module& m) {
      m.role.since = WallTime{1};
      m.role.lease = need;
    });
    pass();
  }
  void want(bool wanted) { need(wanted ? status::LeaseNeed::Needed : status::LeaseNeed::None); }
  void pass() { ASSERT_TRUE(controller->reconcile({"db"}).has_value()); }
  std::string value() {
    const auto& resources = store.status(kDb).resources;
    return resources.contains("splitbrain.uptodate") ? resources.at("splitbrain.uptodate").value : "none";
  }
  std::unique_ptr<LeaseController> make() {
    return std::make_unique<LeaseController>(LeaseController::Ports{store, clock, witness, echo, [this](const std::string&) { ++heard; }},
                                             [] { return std::string{"c1"}; }, boot,
                                             [this](const engine::Request&) { ++wakes; });
  }

  fake::ManualClock clock{};
  fake::ScriptedWitness witness{};
  FakeEcho echo{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"a"}};
  int wakes{0};
  int heard{0};
  std::string boot{"boot1"};
  std::unique_ptr<LeaseController> controller{make()};
};

TEST_F(LeaseTest, ALeaseIsAcquiredAndGivenBack) {
  configure(R"("exec":"etcd","witnesses":["http://e"],"lease":"5s")");
  want(false);
  EXPECT_EQ(value(), "init");
  EXPECT_TRUE(witness.acquired.empty());
  want(true);
  ASSERT_EQ(witness.acquired.size(), 1U);
  EXPECT_EQ(witness.acquired[0].first.name, "safekit/c1/db");
  EXPECT_EQ(store.status(kDb).lease.answer, status::LeaseSection::Answer::Asked);
  witness.acquired[0].second(LeaseReply{.granted = true, .id = "7", .length = seconds{5}});
  EXPECT_EQ(wakes, 1);
  pass();
  EXPECT_EQ(value(), "up");
  EXPECT_EQ(store.status(kDb).lease.until, clock.mono_now() + seconds{5} - milliseconds{10});
  want(false);
  EXPECT_EQ(value(), "init");
  need(status::LeaseNeed::GivenBack);
  ASSERT_EQ(witness.acquired.size(), 2U);
  EXPECT_TRUE(witness.acquired[1].first.only_mine);
  witness.acquired[1].second(LeaseReply{.granted = true, .id = "8", .length = seconds{5}});
  pass();
  ASSERT_EQ(witness.released.size(), 1U);
  EXPECT_EQ(witness.released[0].id, "8");
  EXPECT_EQ(value(), "init");
}

TEST_F(LeaseTest, OneOfSeveralEchoesIsEnough) {
  configure(R"("witnesses":["10.0.0.1","10.0.0.2"])");
  want(true);
  ASSERT_EQ(echo.asked.size(), 2U);
  echo.asked[0].second(Error{Code::Timeout, "no answer in time"});
  EXPECT_EQ(wakes, 0);
  echo.asked[1].second(Status{});
  pass();
  EXPECT_EQ(value(), "up");
  EXPECT_EQ(store.status(kDb).lease.witness, status::LeaseSection::Witness::Reachable);
}

TEST_F(LeaseTest, ASafekitdThatStartsKeepsTheVerdictOfAnEcho) {
  configure(R"("witnesses":["10.0.0.1"])");
  want(true);
  clock.advance(kPatience);
  pass();
  EXPECT_EQ(value(), "down");
  EXPECT_EQ(store.events(kDb, 10, true).back().text.substr(0, 57), "The witness does not let this node go on alone: no answer");
  controller = make();
  echo.asked.clear();
  pass();
  EXPECT_TRUE(echo.asked.empty());
  EXPECT_EQ(store.status(kDb).lease.answer, status::LeaseSection::Answer::Silent);
  want(false);
  controller = make();
  want(true);
  EXPECT_EQ(echo.asked.size(), 1U);
}

// Over a restart of safekitd, and not over a boot.
TEST_F(LeaseTest, ThatTheOtherNodeWasHeardIsKept) {
  configure(R"("exec":"fence","witnesses":["/sbin/off"])");
  const auto may_fence = [&] {
    controller = make();
    witness.acquired.clear();
    want(false);
    store.update_status(kDb, [](status::Module& m) { m.role.may_fence = true; });
    want(true);
    return witness.acquired.size() == 1 && !witness.acquired[0].first.only_mine;
  };
  const auto hear = [&](bool now) {
    store.update_status(kDb, [now](status::Module& m) {
      m.peer.heard = now;
      m.peer.silence_known = !now;
    });
  };
  hear(false);
  EXPECT_FALSE(may_fence());
  hear(true);
  EXPECT_FALSE(may_fence());
  hear(false);
  EXPECT_TRUE(may_fence());
  store.update_status(kDb, [](status::Module& m) { m.peer.silence_known = false; });
  EXPECT_FALSE(may_fence()) << "a safekitd that has just been started has not listened for long enough";
  hear(false);
  boot = "boot2";
  EXPECT_FALSE(may_fence());
}

TEST_F(LeaseTest, ThatTheOtherNodeIsHeardIsToldWhoMayHaveSwitchedItOff) {
  configure(R"("exec":"fence","witnesses":["/sbin/off"])");
  want(true);
  EXPECT_EQ(heard, 0);
  store.update_status(kDb, [](status::Module& m) { m.replication.connected = true; });
  want(true);
  EXPECT_EQ(heard, 1);
}

TEST_F(LeaseTest, WithoutAWitnessThereIsNoResource) {
  configure(R"("witnesses":["10.0.0.1"])");
  want(false);
  EXPECT_EQ(value(), "init");
  const auto module = store.apply({store::Kind::Module, "db"},
                                  R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
                                  R"("nodes":["a","b"],"heartbeats":{"lans":["net"]}}})",
                                  {});
  ASSERT_TRUE(module.has_value()) << module.error().what;
  pass();
  EXPECT_EQ(value(), "none");
}

}  // namespace
}  // namespace safekit::lease
