#include "datapath/control/client.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "datapath/control/server.h"

namespace safekit::control {
namespace {

/// Runs the watched task when a test says so.
class HandLoop final : public Loop {
 public:
  void post(Task) override {}
  TimerId after(Duration, Task) override { return 1; }
  void cancel(TimerId) override {}
  WatcherId watch_readable(int, Task task) override {
    task_ = std::move(task);
    return 1;
  }
  void unwatch(WatcherId) override { task_ = {}; }
  void on_signal(int, Task) override {}
  void run() override {
    const Task task = task_;
    if (task) task();
  }
  void stop() override {}

 private:
  Task task_{};
};

class ControlSocket : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/control-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    ASSERT_TRUE(server_.open(path()));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::string path() const { return directory_ + "/socket"; }

  std::string directory_{};
  Server server_{};
  HandLoop loop_{};
  std::vector<Report> reports_{};
  std::vector<std::string> closed_{};

  Status connect(Client& client) {
    return client.connect(path(), [this](const Report& report) { reports_.push_back(report); },
                          [this](const std::string& reason) { closed_.push_back(reason); });
  }
};

TEST_F(ControlSocket, CarriesBothWaysAndIsPrivate) {
  struct stat st {};
  ASSERT_EQ(::stat(path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  Client client{loop_};
  ASSERT_TRUE(connect(client));
  ASSERT_TRUE(client.send(Configure{.module = "AM"}));
  ASSERT_TRUE(client.send(Want{.order = 3}));
  std::vector<Message> got;
  while (got.size() < 2) {
    auto message = server_.next(seconds{5});
    ASSERT_TRUE(message);
    if (*message) got.push_back(**message);
  }
  EXPECT_TRUE(server_.take_connected());
  EXPECT_FALSE(server_.take_connected());
  EXPECT_EQ(got[0], Message{Configure{.module = "AM"}});
  EXPECT_EQ(got[1], Message{Want{.order = 3}});
  server_.send(Report{.order = 3});
  loop_.run();
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_EQ(reports_[0], Report{.order = 3});
}

TEST_F(ControlSocket, ANewConnectionReplacesTheOldOne) {
  Client first{loop_};
  ASSERT_TRUE(connect(first));
  ASSERT_TRUE(server_.next(seconds{5}));
  HandLoop other;
  Client second{other};
  ASSERT_TRUE(second.connect(path(), [](const Report&) {}, {}));
  ASSERT_TRUE(server_.next(seconds{5}));
  loop_.run();
  EXPECT_EQ(closed_.size(), 1U);
  EXPECT_FALSE(first.is_connected());
  EXPECT_TRUE(second.is_connected());
}

TEST_F(ControlSocket, NobodyListens) {
  Client client{loop_};
  const Status status = client.connect(directory_ + "/none", {}, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Unavailable);
}

}  // namespace
}  // namespace safekit::control
