#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "datapath/linux/files.h"
#include "datapath/linux/loop.h"
#include "datapath/linux/process.h"

namespace safekit::linux_os {
namespace {

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    char name[] = "/tmp/sk-runner-XXXXXX";
    directory = mkdtemp(name);
    loop.after(seconds{20}, [this] {
      ADD_FAILURE() << "timed out";
      loop.stop();
    });
  }
  ~RunnerTest() override { std::filesystem::remove_all(directory); }

  ProcessSpec under_runner(std::vector<std::string> script) const {
    ProcessSpec spec;
    spec.argv = {std::filesystem::read_symlink("/proc/self/exe").parent_path() / "safekit-runner",
                 "--status",
                 directory + "/status",
                 "--output",
                 directory + "/out",
                 "--header",
                 "-- now --",
                 "--"};
    spec.argv.insert(spec.argv.end(), script.begin(), script.end());
    spec.environment = {"A=1"};
    return spec;
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
  std::string status() const { return *read_file(directory + "/status"); }
  std::string output() const { return *read_file(directory + "/out"); }
  std::string field(const std::string& key) const {
    const std::string text = status();
    const auto at = text.find(key + "=");
    return at == std::string::npos
               ? ""
               : text.substr(at + key.size() + 1, text.find('\n', at) - at - key.size() - 1);
  }

  std::string directory{};
  AsioLoop loop{};
  SystemProcesses processes{loop};
};

TEST_F(RunnerTest, KeepsIdentityOutputAndExitCode) {
  EXPECT_EQ(run(under_runner({"/bin/sh", "-c", "cat; echo $$ $A \"$1\"; grep -c . < $2; exit 3", "sh", "a b",
                              directory + "/status"})),
            ExitStatus{.code = 3});
  EXPECT_EQ(field("exit"), "3");
  EXPECT_EQ(field("signal"), "");
  EXPECT_EQ(field("script"), "/bin/sh");
  EXPECT_EQ(field("pgid"), field("pid"));
  EXPECT_NE(field("start_ticks"), "0");
  EXPECT_GE(field("ended"), field("started"));
  // The five lines of the status file were there before the script began.
  EXPECT_EQ(output(), "-- now --\n" + field("pid") + " 1 a b\n5\n");
  EXPECT_FALSE(std::filesystem::exists(directory + "/status.new"));
}

TEST_F(RunnerTest, TellsTheSignalAndSurvivesIt) {
  EXPECT_EQ(run(under_runner({"/bin/sh", "-c", "kill -9 0"})), ExitStatus{.code = 128 + 9});
  EXPECT_EQ(field("signal"), "9");
  EXPECT_EQ(field("exit"), "");
}

TEST_F(RunnerTest, DoesNotWaitForADaemonThatKeepsTheOutput) {
  EXPECT_EQ(run(under_runner({"/bin/sh", "-c", "sleep 60 & echo $!"})), ExitStatus{.code = 0});
  const std::string text = output();
  const auto daemon = identify(std::atoi(text.substr(text.find('\n') + 1).c_str()));
  ASSERT_TRUE(daemon) << text;
  ASSERT_TRUE(processes.watch_exit(*daemon, [&] { loop.stop(); }));
  EXPECT_TRUE(processes.signal_group({.pid = std::atoi(field("pid").c_str())}, SIGKILL));
  loop.run();
}

TEST_F(RunnerTest, AScriptThatCannotStartIsAnExitCodeWithAReason) {
  EXPECT_EQ(run(under_runner({"/no/such/script"})), ExitStatus{.code = 127});
  EXPECT_EQ(field("exit"), "127");
  EXPECT_NE(output().find("cannot start '/no/such/script'"), std::string::npos);
  ASSERT_TRUE(replace_file(directory + "/text", "echo", 0644));
  EXPECT_EQ(run(under_runner({directory + "/text"})), ExitStatus{.code = 126});
}

TEST_F(RunnerTest, RunsNothingThatItCouldNotPutOnRecord) {
  ProcessSpec spec = under_runner({"/bin/sh", "-c", "echo ran"});
  spec.argv[2] = directory + "/none/status";
  EXPECT_EQ(run(spec), ExitStatus{.code = 125});
  EXPECT_EQ(output().find("ran"), std::string::npos);
}

TEST_F(RunnerTest, RunsAlsoWhenOutputCannotBeKept) {
  ProcessSpec spec = under_runner({"/bin/sh", "-c", "echo ran"});
  spec.argv[4] = directory + "/none/out";
  EXPECT_EQ(run(spec), ExitStatus{.code = 0});
  spec.argv = {spec.argv[0], "--bad", "x"};
  EXPECT_EQ(run(spec), ExitStatus{.code = 64});
}

}  // namespace
}  // namespace safekit::linux_os
