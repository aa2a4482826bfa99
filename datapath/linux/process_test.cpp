#include "datapath/linux/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "datapath/linux/files.h"
#include "datapath/linux/loop.h"

namespace safekit::linux_os {
namespace {

class SystemProcessesTest : public ::testing::Test {
 protected:
  SystemProcessesTest() {
    char name[] = "/tmp/sk-process-XXXXXX";
    directory = mkdtemp(name);
    loop.after(seconds{20}, [this] {
      ADD_FAILURE() << "timed out";
      loop.stop();
    });
  }
  ~SystemProcessesTest() override { (void)!system(("rm -r " + directory).c_str()); }
  ProcessSpec shell(const std::string& text) const {
    return {.argv = {"/bin/sh", "-c", text}, .environment = {"A=1"}, .output_path = directory + "/out"};
  }
  ExitStatus run(const ProcessSpec& spec) {
    ExitStatus ended;
    EXPECT_TRUE(processes.start(spec, [&](const ExitStatus& exit) {
      ended = exit;
      loop.stop();
    }));
    loop.run();
    return ended;
  }
  std::string output() const { return *read_file(directory + "/out"); }

  std::string directory{};
  AsioLoop loop{};
  SystemProcesses processes{loop};
};

TEST_F(SystemProcessesTest, GivesExitCodeAndOutputOfBothStreams) {
  EXPECT_EQ(run(shell("echo out; echo err >&2; exit 7")), ExitStatus{.code = 7});
  EXPECT_EQ(output(), "out\nerr\n");
}

TEST_F(SystemProcessesTest, TellsTheSignalThatEndedIt) {
  EXPECT_EQ(run(shell("kill -9 $$")), ExitStatus{.signal = 9});
}

TEST_F(SystemProcessesTest, InheritsNoEnvironmentDescriptorSignalMaskOrIgnoredSignal) {
  const Fd extra{open("/dev/null", O_RDONLY)};  // not close-on-exec on purpose
  const Fd high{fcntl(extra.get(), F_DUPFD, 200)};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const auto old = std::signal(SIGPIPE, SIG_IGN);
  ProcessSpec spec = shell("");
  spec.argv = {"/usr/bin/env"};
  EXPECT_EQ(run(spec), ExitStatus{.code = 0});
  spec.argv = {"/bin/ls", "/proc/self/fd"};
  EXPECT_EQ(run(spec), ExitStatus{.code = 0});
  spec.argv = {"/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"};
  EXPECT_EQ(run(spec), ExitStatus{.code = 0});
  std::signal(SIGPIPE, old);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const std::string text = output();
  EXPECT_NE(text.find("A=1\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("HOME="), std::string::npos) << text;
  EXPECT_NE(text.find("0\n1\n2\n3\nSig"), std::string::npos) << text;  // 3 is the directory that ls reads
  EXPECT_NE(text.find("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"), std::string::npos) << text;
}

TEST_F(SystemProcessesTest, RefusesAMissingProgram) {
  const auto started = processes.start({.argv = {"/no/such/program"}}, nullptr);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::NotFound);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a zombie was left";
  EXPECT_EQ(processes.start({.argv = {"relative"}}, nullptr).error().code, Code::Invalid);
}

TEST_F(SystemProcessesTest, SignalsAWholeGroupAlsoAfterItsLeaderHasEnded) {
  ProcessIdentity leader;
  ProcessIdentity child;
  ProcessSpec spec = shell("sleep 60 & echo $!");
  leader = *processes.start(spec, [&](const ExitStatus& exit) {
    EXPECT_EQ(exit, ExitStatus{.code = 0});
    child = *identify(std::atoi(output().c_str()));
    EXPECT_TRUE(processes.is_running(child));
    ASSERT_TRUE(processes.watch_exit(child, [&] { loop.stop(); }));
    EXPECT_TRUE(processes.signal_group(leader, SIGKILL));
  });
  loop.run();
  EXPECT_FALSE(processes.is_running(child));
  EXPECT_TRUE(processes.signal_group(leader, SIGKILL)) << "a group that is gone is fine";
}

TEST_F(SystemProcessesTest, NeverHitsALaterProcessWithTheSameNumber) {
  ProcessIdentity running = *processes.start(shell("sleep 60"), [&](const ExitStatus& exit) {
    EXPECT_EQ(exit, ExitStatus{.signal = SIGTERM});
    loop.stop();
  });
  ProcessIdentity other = running;
  ++other.start_ticks;
  EXPECT_FALSE(processes.is_running(other));
  EXPECT_TRUE(processes.signal(other, SIGKILL));
  EXPECT_TRUE(processes.signal_group(other, SIGKILL));
  EXPECT_TRUE(processes.signal(running, SIGTERM));
  loop.run();
  EXPECT_TRUE(processes.signal(running, SIGTERM)) << "a process that is gone is fine";
}

TEST_F(SystemProcessesTest, AProcessRunsUntilItsLastThreadHasEnded) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::thread{[] { ::pause(); }}.detach();
    ::syscall(SYS_exit, 0);  // this thread alone
  }
  const auto state = [&] {
    const std::string text = *read_file(fmt::format("/proc/{}/stat", child));
    return text[text.rfind(')') + 2];
  };
  while (state() != 'Z') std::this_thread::yield();
  const auto running = identify(child);
  ASSERT_TRUE(running) << running.error().what;
  EXPECT_TRUE(processes.is_running(*running));
  ::kill(child, SIGKILL);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(processes.is_running(*running)) << "a zombie of one thread";
  ::waitpid(child, nullptr, 0);
}

TEST_F(SystemProcessesTest, TellsOfAnEndThatWasBefore) {
  const ProcessIdentity gone = [&] {
    ProcessIdentity identity;
    identity = *processes.start(shell("true"), [&](const ExitStatus&) { loop.stop(); });
    return identity;
  }();
  loop.run();
  AsioLoop later;
  SystemProcesses watcher{later};
  bool told = false;
  ASSERT_TRUE(watcher.watch_exit(gone, [&] {
    told = true;
    later.stop();
  }));
  watcher.unwatch_exit(*watcher.watch_exit(gone, [] { FAIL() << "was unwatched"; }));
  later.run();
  EXPECT_TRUE(told);
}

TEST_F(SystemProcessesTest, ListsProcessesWithTheirArguments) {
  const auto started =
      processes.start({.argv = {"/bin/sleep", "61.25"}}, [&](const ExitStatus&) { loop.stop(); });
  ASSERT_TRUE(started);
  const auto all = processes.list();
  ASSERT_TRUE(all);
  const auto found = std::ranges::find(*all, *started, &ProcessInfo::identity);
  ASSERT_NE(found, all->end());
  EXPECT_EQ(found->command, "sleep");
  EXPECT_EQ(found->arguments, "/bin/sleep 61.25");
  EXPECT_EQ(found->parent, getpid());
  EXPECT_TRUE(processes.signal(*started, SIGKILL));
  loop.run();
}

}  // namespace
}  // namespace safekit::linux_os
