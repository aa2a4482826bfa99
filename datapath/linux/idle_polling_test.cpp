#include "datapath/linux/idle_polling.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "schema/fake/kept_log.h"

namespace safekit::linux_os {
namespace {

TEST(IdlePollRule, PollsWhileCallsComeOneAfterAnother) {
  IdlePollRule rule;
  EXPECT_TRUE(rule.is_quiet());
  EXPECT_FALSE(rule.step(10));
  EXPECT_TRUE(rule.step(10)) << "20 in 50 ms";
  EXPECT_FALSE(rule.is_quiet());
  EXPECT_TRUE(rule.step(0));
  EXPECT_TRUE(rule.step(0));
  EXPECT_TRUE(rule.step(0)) << "both are still in the window";
  EXPECT_TRUE(rule.step(0)) << "half of the rate is enough to go on";
  EXPECT_FALSE(rule.step(0));
  EXPECT_TRUE(rule.is_quiet());
}

TEST(IdlePollRule, AFewCallsNowAndThenAreNotWorthIt) {
  IdlePollRule rule;
  for (int second = 0; second < 100; ++second) EXPECT_FALSE(rule.step(3)) << "300 a second";
  EXPECT_TRUE(rule.step(20)) << "a burst";
}

TEST(IdlePolling, AsksByTheDriver) {
  EXPECT_EQ(latency_to_ask("haltpoll"), 0);
  EXPECT_EQ(latency_to_ask("intel_idle"), 2);
  EXPECT_EQ(latency_to_ask("none"), std::nullopt);
  EXPECT_EQ(latency_to_ask(""), std::nullopt);
}

/// A pipe in the place of the kernel's device: it says what is asked, and when the asking ends.
class IdlePollingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "safekit-idle-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory = name;
    places = {.device = directory + "/device", .driver = directory + "/driver"};
    ASSERT_EQ(::mkfifo(places.device.c_str(), 0600), 0);
    std::ofstream{places.driver} << "haltpoll\n";
    listen();
  }
  /// Anew: one that has seen the end sees it until somebody writes again.
  void listen() {
    reader.reset(::open(places.device.c_str(), O_RDONLY | O_NONBLOCK));
    ASSERT_TRUE(reader);
  }
  void TearDown() override { std::filesystem::remove_all(directory); }
  /// What comes next on the pipe; empty: nobody has it open any more.
  std::string next() {
    pollfd waits{.fd = reader.get(), .events = POLLIN, .revents = 0};
    if (::poll(&waits, 1, 20'000) != 1) return "nothing";
    char bytes[16];
    const ssize_t got = ::read(reader.get(), bytes, sizeof bytes);
    return got < 0 ? "error" : std::string{bytes, static_cast<std::size_t>(got)};
  }
  static void call(IdlePolling& polling) {
    for (std::uint64_t i = 0; i < IdlePollRule::kCallsMin; ++i) polling.note();
  }
  std::string directory{};
  IdlePolling::Places places{};
  Fd reader{};
  fake::KeptLog log{};
};

TEST_F(IdlePollingTest, AsksWhileThereAreCallsAndEachTimeAgain) {
  IdlePolling polling{log, places};
  polling.allow(true);
  for (int round = 0; round < 3; ++round) {
    call(polling);
    EXPECT_EQ(next(), std::string(4, '\0')) << "0 us";
    EXPECT_EQ(next(), "") << "no more calls";
    listen();
  }
  EXPECT_TRUE(log.lines().empty());
}

TEST_F(IdlePollingTest, EndsWithIt) {
  {
    IdlePolling polling{log, places};
    polling.allow(true);
    call(polling);
    EXPECT_EQ(next(), std::string(4, '\0'));
  }
  EXPECT_EQ(next(), "");
}

TEST_F(IdlePollingTest, SaysOnceThatItCannot) {
  std::ofstream{places.driver} << "none\n";
  IdlePolling polling{log, places};
  polling.allow(true);
  while (log.lines().empty()) call(polling);
  std::ofstream{places.driver} << "haltpoll\n";
  call(polling);
  EXPECT_EQ(log.lines(), std::vector<std::string>{"replicad: idle-poll=impossible reason='no cpuidle driver'"});
}

}  // namespace
}  // namespace safekit::linux_os
