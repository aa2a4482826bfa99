#include "datapath/linux/loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "datapath/linux/clock.h"
#include "datapath/linux/fd.h"

namespace safekit::linux_os {
namespace {

TEST(AsioLoop, RunsPostsOfAnyThreadInTheirOrder) {
  AsioLoop loop;
  std::vector<int> seen;
  std::thread other{[&] {
    for (int i = 0; i < 100; ++i) loop.post([&seen, i] { seen.push_back(i); });
    loop.post([&] { loop.stop(); });
  }};
  loop.run();
  other.join();
  ASSERT_EQ(seen.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST(AsioLoop, RunsTimersByDueTimeAndNotTooEarly) {
  AsioLoop loop;
  const SystemClock clock;
  const MonoTime start = clock.mono_now();
  std::string order;
  loop.after(milliseconds{20}, [&] {
    order += "b";
    EXPECT_GE(clock.mono_now() - start, milliseconds{20});
    loop.stop();
  });
  loop.after(milliseconds{5}, [&] { order += "a"; });
  loop.run();
  EXPECT_EQ(order, "ab");
}

TEST(AsioLoop, ForgetsACancelledTimerAlsoWhenItIsDue) {
  AsioLoop loop;
  TimerId second = 0;
  loop.after(Duration{0}, [&] { loop.cancel(second); });
  second = loop.after(Duration{0}, [] { FAIL() << "was cancelled"; });
  loop.after(milliseconds{5}, [&] { loop.stop(); });
  loop.run();
  loop.cancel(second);
  loop.cancel(12345);
}

TEST(AsioLoop, CallsAgainWhileBytesAreLeft) {
  AsioLoop loop;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd reader{ends[0]};
  const Fd writer{ends[1]};
  ASSERT_EQ(write(writer.get(), "abc", 3), 3);
  std::string got;
  WatcherId id = 0;
  id = loop.watch_readable(reader.get(), [&] {
    char c = 0;
    ASSERT_EQ(read(reader.get(), &c, 1), 1);
    got += c;
    if (got.size() == 3) {
      loop.unwatch(id);
      loop.post([&] { loop.stop(); });
    }
  });
  loop.run();
  EXPECT_EQ(got, "abc");
  EXPECT_EQ(write(writer.get(), "d", 1), 1);  // still open: the loop owns no descriptor
}

TEST(AsioLoop, AnUnwatchedDescriptorCallsNobody) {
  AsioLoop loop;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd reader{ends[0]};
  const Fd writer{ends[1]};
  ASSERT_EQ(write(writer.get(), "x", 1), 1);
  loop.unwatch(loop.watch_readable(reader.get(), [] { FAIL() << "was unwatched"; }));
  bool called = false;
  loop.watch_readable(reader.get(), [&] {  // the same descriptor may be watched anew
    called = true;
    loop.stop();
  });
  loop.run();
  EXPECT_TRUE(called);
}

TEST(AsioLoop, ATaskMayCloseItsDescriptorAndWatchTheNextOfThatNumber) {
  AsioLoop loop;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Fd reader{ends[0]};
  const Fd writer{ends[1]};
  ASSERT_EQ(write(writer.get(), "x", 1), 1);
  WatcherId id = 0;
  id = loop.watch_readable(reader.get(), [&] {
    const int number = reader.get();
    loop.unwatch(id);
    reader.reset();
    int next[2];
    ASSERT_EQ(pipe(next), 0);
    ASSERT_EQ(next[0], number);
    reader.reset(next[0]);
    loop.watch_readable(reader.get(), [&] { loop.stop(); });
    loop.post([end = next[1]] { ASSERT_EQ(write(Fd{end}.get(), "x", 1), 1); });
  });
  bool timed_out = false;
  loop.after(seconds{5}, [&] {
    timed_out = true;
    loop.stop();
  });
  loop.run();
  EXPECT_FALSE(timed_out);
}

TEST(AsioLoop, TellsOfASignalEachTime) {
  AsioLoop loop;
  int count = 0;
  loop.on_signal(SIGUSR1, [&] {
    if (++count == 2)
      loop.stop();
    else
      kill(getpid(), SIGUSR1);
  });
  loop.post([] { kill(getpid(), SIGUSR1); });
  loop.run();
  EXPECT_EQ(count, 2);
}

}  // namespace
}  // namespace safekit::linux_os
