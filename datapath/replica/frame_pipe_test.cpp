#include "datapath/replica/frame_pipe.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>

namespace safekit::replica {
namespace {

using wire::FrameType;
using wire::FrameView;

TEST(FramePipe, KeepsTheOrderAndTheContent) {
  std::vector<std::pair<FrameType, Bytes>> seen;
  FramePipe pipe{[&](const FrameView& frame, bool) -> Status {
    seen.emplace_back(frame.type, Bytes{frame.payload.begin(), frame.payload.end()});
    return {};
  }};
  for (std::uint8_t i = 0; i < 100; ++i) {
    Bytes payload(i, i);
    ASSERT_TRUE(pipe.push({i % 2 == 0 ? FrameType::Change : FrameType::InodeState, payload}));
    payload.assign(payload.size(), 0xff);  // it is the caller's again
  }
  ASSERT_TRUE(pipe.drain());
  ASSERT_EQ(seen.size(), 100U);
  for (std::uint8_t i = 0; i < 100; ++i) {
    EXPECT_EQ(seen[i].first, i % 2 == 0 ? FrameType::Change : FrameType::InodeState);
    EXPECT_EQ(seen[i].second, Bytes(i, i));
  }
}

TEST(FramePipe, TellsWhenNothingMoreHasCome) {
  std::latch pushed{1};
  std::vector<bool> last;
  FramePipe pipe{[&](const FrameView&, bool is_last) -> Status {
    if (last.empty()) pushed.wait();
    last.push_back(is_last);
    return {};
  }};
  ASSERT_TRUE(pipe.push({FrameType::Change, {}}));
  ASSERT_TRUE(pipe.push({FrameType::Change, {}}));
  ASSERT_TRUE(pipe.push({FrameType::Change, {}}));
  pushed.count_down();
  ASSERT_TRUE(pipe.drain());
  ASSERT_EQ(last.size(), 3U);
  EXPECT_FALSE(last[1]);
  EXPECT_TRUE(last[2]);
}

TEST(FramePipe, NothingIsDoneAfterAnError) {
  std::atomic<int> done{0};
  FramePipe pipe{[&](const FrameView&, bool) -> Status {
    if (++done == 2) return Error{Code::Io, "broken"};
    return {};
  }};
  Status pushed{};
  while (pushed) pushed = pipe.push({FrameType::Change, {}});
  EXPECT_EQ(pushed.error().what, "broken");
  EXPECT_FALSE(pipe.drain());
  EXPECT_EQ(done, 2);
}

TEST(FramePipe, HoldsNoMoreThanItsBound) {
  std::latch go{1};
  std::atomic<std::size_t> done{0};
  FramePipe pipe{[&](const FrameView&, bool) -> Status {
    go.wait();
    ++done;
    return {};
  }};
  const Bytes half(FramePipe::kBytesMax / 2);
  const Bytes more(FramePipe::kBytesMax + 1);
  ASSERT_TRUE(pipe.push({FrameType::Change, half}));
  ASSERT_TRUE(pipe.push({FrameType::Change, half}));
  auto third = std::async(std::launch::async, [&] { return pipe.push({FrameType::Change, more}); });
  EXPECT_EQ(third.wait_for(std::chrono::milliseconds{30}), std::future_status::timeout);
  go.count_down();
  ASSERT_TRUE(third.get()) << "what is longer than the bound goes alone";
  ASSERT_TRUE(pipe.drain());
  EXPECT_EQ(done, 3U);
}

}  // namespace
}  // namespace safekit::replica
