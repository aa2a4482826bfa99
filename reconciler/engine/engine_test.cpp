#include "reconciler/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/kept_log.h"
#include "schema/fake/manual_loop.h"
#include "schema/fake/seeded_random.h"

namespace safekit::engine {
namespace {

using testing::ElementsAre;

class Recorder final : public Controller {
 public:
  [[nodiscard]] std::string_view name() const override { return "recorder"; }
  [[nodiscard]] std::optional<Request> wants(const store::Change& change) const override {
    if (change.what != store::Change::What::Object || change.kind != store::Kind::Module) return std::nullopt;
    return Request{change.name};
  }
  Result<Outcome> reconcile(const Request& request) override {
    SK_ASSERT(!is_inside_);
    is_inside_ = true;
    seen.push_back(request.name);
    Result<Outcome> outcome = answer ? answer(request) : Outcome{};
    is_inside_ = false;
    return outcome;
  }
  std::vector<std::string> seen{};
  std::function<Result<Outcome>(const Request&)> answer{};

 private:
  bool is_inside_{false};
};

class EngineTest : public testing::Test {
 protected:
  void apply(const std::string& name) {
    (void)store.apply({store::Kind::Module, name}, std::to_string(++applied_), {});
  }
  fake::ManualClock clock{};
  fake::ManualLoop loop{clock};
  fake::SeededRandom random{1};
  fake::KeptLog log{};
  store::MemoryBackend disk{};
  store::Store store{disk, clock, NodeName{"node1"}};
  Recorder recorder{};
  Engine engine{{store, loop, clock, random, log}};

 private:
  int applied_{0};
};

TEST_F(EngineTest, LooksAtEverythingAtStartAlsoAtTombstones) {
  apply("a");
  apply("b");
  (void)store.remove({store::Kind::Module, "b"}, {});
  engine.add(recorder);
  engine.start();
  EXPECT_TRUE(recorder.seen.empty());
  loop.run_posted();
  EXPECT_THAT(recorder.seen, testing::UnorderedElementsAre("a", "b"));
}

TEST_F(EngineTest, ManyChangesOfOneKeyAreOnePass) {
  engine.add(recorder);
  engine.start();
  loop.run_posted();
  for (int i = 0; i < 100; ++i) apply("a");
  loop.run_posted();
  EXPECT_THAT(recorder.seen, ElementsAre("a"));
}

TEST_F(EngineTest, AChangeMadeByAPassIsSeenInALaterOne) {
  engine.add(recorder);
  engine.start();
  recorder.answer = [&](const Request& request) -> Result<Outcome> {
    if (recorder.seen.size() < 3) apply(request.name);
    return Outcome{};
  };
  apply("a");
  loop.run_posted();
  EXPECT_THAT(recorder.seen, ElementsAre("a", "a", "a"));
}

TEST_F(EngineTest, ComesBackWhenTheControllerSaysSo) {
  engine.add(recorder);
  engine.start();
  recorder.answer = [](const Request&) -> Result<Outcome> { return Outcome{.requeue_after = seconds{2}}; };
  apply("a");
  loop.advance(milliseconds{1999});
  EXPECT_EQ(recorder.seen.size(), 1U);
  loop.advance(milliseconds{1});
  EXPECT_EQ(recorder.seen.size(), 2U);
}

TEST_F(EngineTest, AnEarlierTimeReplacesALaterTimer) {
  engine.add(recorder);
  engine.start();
  recorder.answer = [](const Request& request) -> Result<Outcome> {
    return Outcome{.requeue_after = request.name == "slow" ? seconds{10} : seconds{1}};
  };
  apply("slow");
  loop.run_posted();
  apply("fast");
  loop.advance(seconds{1});
  EXPECT_THAT(recorder.seen, ElementsAre("slow", "fast", "fast"));
}

TEST_F(EngineTest, FailuresBackOffAndASuccessForgetsThem) {
  engine.add(recorder);
  engine.start();
  bool fails = true;
  recorder.answer = [&](const Request&) -> Result<Outcome> {
    if (fails) return Error{Code::Unavailable, "the peer is away"};
    return Outcome{};
  };
  apply("a");
  loop.advance(seconds{10});
  const std::size_t tries = recorder.seen.size();
  EXPECT_GT(tries, 5U);
  EXPECT_LT(tries, 12U);
  EXPECT_THAT(engine.health().problems(), ElementsAre("recorder 'a': the peer is away"));
  fails = false;
  loop.advance(seconds{15});
  EXPECT_TRUE(engine.health().problems().empty());
  const std::size_t after = recorder.seen.size();
  loop.advance(seconds{4});
  EXPECT_EQ(recorder.seen.size(), after);
}

TEST_F(EngineTest, WrongInputIsNotTriedAgainBeforeItChanges) {
  engine.add(recorder);
  engine.start();
  recorder.answer = [](const Request&) -> Result<Outcome> { return Error{Code::Invalid, "no such network"}; };
  apply("a");
  loop.advance(seconds{20});
  EXPECT_EQ(recorder.seen.size(), 1U);
  apply("a");
  loop.run_posted();
  EXPECT_EQ(recorder.seen.size(), 2U);
}

TEST_F(EngineTest, EveryKeyIsLookedAtFromTimeToTime) {
  apply("a");
  engine.add(recorder);
  engine.start();
  loop.advance(seconds{61});
  EXPECT_EQ(recorder.seen.size(), 3U);
}

TEST_F(EngineTest, AWakeUpReachesItsControllerOnlyAndNoneAfterTheEnd) {
  engine.add(recorder);
  engine.start();
  const auto wake = engine.waker("recorder");
  const auto other = engine.waker("other");
  wake({"a"});
  other({"b"});
  EXPECT_TRUE(recorder.seen.empty());
  loop.run_posted();
  EXPECT_THAT(recorder.seen, ElementsAre("a"));
  engine.stop();
  wake({"a"});
  apply("c");
  loop.advance(minutes{2});
  EXPECT_EQ(recorder.seen.size(), 1U);
}

TEST_F(EngineTest, MeasuresWaitsAndLongPasses) {
  engine.add(recorder);
  engine.start();
  recorder.answer = [&](const Request&) -> Result<Outcome> {
    clock.advance(milliseconds{80});
    return Outcome{};
  };
  apply("a");
  clock.advance(milliseconds{5});
  loop.run_posted();
  const ControllerHealth& health = engine.health().controllers().at("recorder");
  EXPECT_EQ(health.passes, 1U);
  EXPECT_EQ(health.over_deadline, 1U);
  EXPECT_EQ(health.waited.longest(), milliseconds{5});
  EXPECT_EQ(health.took.longest(), milliseconds{80});
  EXPECT_THAT(log.lines(), ElementsAre(testing::HasSubstr("pass_took=80000us")));
}

TEST_F(EngineTest, OtherWorkOfTheLoopHasItsTurnBetweenPasses) {
  engine.add(recorder);
  engine.start();
  loop.run_posted();
  for (int i = 0; i < 100; ++i) apply("m" + std::to_string(i));
  std::size_t passes_before = 0;
  loop.post([&] { passes_before = recorder.seen.size(); });
  loop.run_posted();
  EXPECT_EQ(passes_before, Engine::kPassesPerTurn);
  EXPECT_EQ(recorder.seen.size(), 100U);
}

TEST(Histogram, GivesPercentilesWithinAPowerOfTwo) {
  Histogram histogram;
  EXPECT_EQ(histogram.percentile(99), Duration{});
  for (int i = 0; i < 99; ++i) histogram.add(microseconds{100});
  histogram.add(milliseconds{50});
  EXPECT_GE(histogram.percentile(50), microseconds{100});
  EXPECT_LE(histogram.percentile(50), microseconds{200});
  EXPECT_EQ(histogram.percentile(100), milliseconds{50});
}

TEST(DecisionLog, IsBoundedAndCountsRepetitions) {
  DecisionLog log;
  for (int i = 0; i < 100; ++i) log.record("role", "db", WallTime{i}, "plan " + std::to_string(i / 2));
  const auto kept = log.of("role", "db");
  ASSERT_EQ(kept.size(), DecisionLog::kEntriesMaxPerKey);
  EXPECT_EQ(kept.back(), (DecisionLog::Entry{WallTime{99}, "plan 49", 2}));
  EXPECT_TRUE(log.of("vip", "db").empty());
  for (std::size_t i = 0; i < DecisionLog::kKeysMax; ++i) log.record("vip", std::to_string(i), WallTime{1000}, "x");
  EXPECT_TRUE(log.of("role", "db").empty());
}

}  // namespace
}  // namespace safekit::engine
