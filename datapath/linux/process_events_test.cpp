#include "datapath/linux/process_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>

#include <csignal>

#include "datapath/linux/loop.h"
#include "datapath/linux/process.h"

namespace safekit::linux_os {
namespace {

using Kind = ProcessEvent::Kind;

/// A datagram with these words of `event_data`.
Bytes datagram(std::uint32_t kind, const std::vector<std::uint32_t>& words) {
  Bytes bytes(sizeof(nlmsghdr) + sizeof(cn_msg) + offsetof(proc_event, event_data));
  std::memcpy(bytes.data() + sizeof(nlmsghdr) + sizeof(cn_msg), &kind, sizeof kind);
  for (const std::uint32_t word : words) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(&word);
    bytes.insert(bytes.end(), at, at + sizeof word);
  }
  return bytes;
}

TEST(ProcessEventOf, ReadsWhatHappenedToWholeProcesses) {
  EXPECT_EQ(process_event_of(datagram(1, {6, 5, 7, 7})), (ProcessEvent{Kind::Forked, 7, 5}));
  EXPECT_EQ(process_event_of(datagram(2, {7, 7})), (ProcessEvent{Kind::Changed, 7}));
  EXPECT_EQ(process_event_of(datagram(0x200, {7, 7})), (ProcessEvent{Kind::Changed, 7}));
  EXPECT_EQ(process_event_of(datagram(0x80000000, {7, 7, 0, 17})), (ProcessEvent{Kind::Ended, 7}));
  EXPECT_EQ(process_event_of(datagram(1, {5, 5, 8, 7})), std::nullopt) << "a thread";
  EXPECT_EQ(process_event_of(datagram(4, {7, 7})), std::nullopt) << "a user";
  EXPECT_EQ(process_event_of(datagram(1, {5, 5})), std::nullopt) << "cut off";
  EXPECT_EQ(process_event_of({}), std::nullopt);
}

TEST(ProcessEvents, TellOfAProcessThatBeginsAndEnds) {
  AsioLoop loop;
  SystemProcesses processes{loop};
  std::int32_t wanted = 0;
  std::set<Kind> seen;
  const auto watched = processes.watch_events([&](const std::vector<ProcessEvent>& events) {
    for (const ProcessEvent& event : events) {
      if (event.pid == wanted) seen.insert(event.kind);
    }
    if (seen.contains(Kind::Changed) && processes.look(wanted)) {
      EXPECT_EQ(processes.look(wanted)->command, "sleep");
      (void)processes.signal(processes.look(wanted)->identity, SIGKILL);
    }
    if (seen.contains(Kind::Ended)) loop.stop();
  });
  if (!watched) GTEST_SKIP() << watched.error().what;
  bool timed_out = false;
  loop.after(seconds{5}, [&] {
    timed_out = true;
    loop.stop();
  });
  const auto started = processes.start({.argv = {"/bin/sleep", "61.5"}}, nullptr);
  ASSERT_TRUE(started) << started.error().what;
  wanted = started->pid;
  loop.run();
  (void)processes.signal(*started, SIGKILL);
  if (timed_out && seen.empty()) GTEST_SKIP() << "the kernel tells nothing in this PID namespace";
  EXPECT_THAT(seen, ::testing::IsSupersetOf({Kind::Changed, Kind::Ended}));
  EXPECT_FALSE(processes.look(wanted)) << "a zombie, or nothing";
  processes.unwatch_events();
}

}  // namespace
}  // namespace safekit::linux_os
