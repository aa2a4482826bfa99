#include "schema/status/timeline.h"

#include <gtest/gtest.h>

namespace safekit::status {
namespace {

MonoTime at(std::int64_t ms) { return MonoTime{} + milliseconds{1000 + ms}; }

TEST(Timeline, IsTheTimeBetweenMoments) {
  const Timeline timeline = timeline_of({.kind = Timeline::Kind::Failover,
                                         .began = WallTime{5},
                                         .last_sign = at(0),
                                         .ends = {at(1020), at(1021), std::nullopt, at(1083), at(1430)}});
  EXPECT_EQ(describe(timeline), "failover in 1.43 s: detect 1.02 s, decide 1 ms, fence 0 ms, switch 62 ms, application 347 ms");
  EXPECT_EQ(total_of(timeline), milliseconds{1430});
}

TEST(Timeline, AMomentThatWasSeenEarlierTakesNothingFromTheNextPhase) {
  const Timeline timeline =
      timeline_of({.last_sign = at(10), .ends = {at(5), at(20), at(15), at(40), at(40)}});
  EXPECT_EQ(timeline.phases, (std::array<Duration, kPhases>{Duration{}, milliseconds{10}, Duration{}, milliseconds{20}, Duration{}}));
}

TEST(Timeline, IsKeptAsText) {
  const Timeline timeline{.kind = Timeline::Kind::Swap, .began = WallTime{7}, .phases = {Duration{1}, Duration{2}, Duration{3}, Duration{4}, Duration{5}}};
  EXPECT_EQ(decode_timeline(encode(timeline)), timeline);
  for (const char* bad : {"", "2 0 1 1 1 1 1 1", "1 9 1 1 1 1 1 1", "1 0 1 1 1 1 1"}) EXPECT_EQ(decode_timeline(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace safekit::status
