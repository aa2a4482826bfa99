// What a secondary promises a primary that is played.
#include "datapath/replica/secondary_fixture.h"

namespace safekit::replica {
namespace {

using SecondaryPromiseTest = SecondaryFixture;

TEST_F(SecondaryPromiseTest, ItPromisesNothingBeforeItIsAsked) {
  clock_.advance(seconds{1});
  EXPECT_TRUE(std::holds_alternative<wire::Heartbeat>(next()));
  EXPECT_EQ(book_.until().ns, INT64_MIN);
}

TEST_F(SecondaryPromiseTest, TheFirstQuestionIsAnsweredAtOnceThenItPromisesInThePlaceOfHeartbeats) {
  clock_.advance(milliseconds{10});  // less than lies between two heartbeats
  const MonoTime asked = clock_.mono_now();
  send(wire::Question{1});
  const wire::Message first = next();
  const auto* promise = std::get_if<wire::Promise>(&first);
  ASSERT_NE(promise, nullptr);
  EXPECT_EQ(*promise, (wire::Promise{.heard = asked.ns, .answered = 1, .answered_at = asked.ns, .length = kPromised.count()}));
  EXPECT_EQ(book_.until(), asked + kPromised + kPromised / 500);
  clock_.advance(seconds{1});
  const wire::Message later = next();
  const auto* again = std::get_if<wire::Promise>(&later);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->heard, asked.ns) << "the primary is silent";
  EXPECT_EQ(book_.until(), asked + kPromised + kPromised / 500);
  send(wire::Heartbeat{});
  for (;;) {
    clock_.advance(milliseconds{50});
    const wire::Message heard = next();
    ASSERT_TRUE(std::holds_alternative<wire::Promise>(heard));
    if (std::get<wire::Promise>(heard).heard > asked.ns) break;
  }
  EXPECT_GE(book_.until(), asked + seconds{1} + kPromised);
}

}  // namespace
}  // namespace safekit::replica
