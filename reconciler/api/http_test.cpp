#include <filesystem>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "reconciler/api/http_client.h"
#include "reconciler/api/http_server.h"
#include "reconciler/api/sockets.h"
#include "reconciler/store/memory_backend.h"
#include "schema/doc/json.h"
#include "schema/fake/kept_log.h"
#include "schema/fake/manual_clock.h"

namespace safekit::api {
namespace {

using testing::HasSubstr;

/// A loop of posted tasks on a thread of its own.
class ThreadLoop final : public Loop {
 public:
  ThreadLoop() : thread_([this] { run(); }) {}
  ~ThreadLoop() override {
    post([this] { over_ = true; });
    thread_.join();
  }
  void post(Task task) override {
    const std::lock_guard lock{mutex_};
    tasks_.push_back(std::move(task));
    changed_.notify_one();
  }
  TimerId after(Duration, Task) override { return 1; }
  void cancel(TimerId) override {}
  WatcherId watch_readable(int, Task) override { return 0; }
  void unwatch(WatcherId) override {}
  void on_signal(int, Task) override {}
  void run() override {
    while (!over_) {
      std::unique_lock lock{mutex_};
      changed_.wait(lock, [this] { return !tasks_.empty(); });
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }
  void stop() override {}
  void run_and_wait(const Task& task) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    post([&] {
      task();
      const std::lock_guard lock{mutex};
      done = true;
      changed.notify_one();
    });
    std::unique_lock lock{mutex};
    changed.wait(lock, [&done] { return done; });
  }

 private:
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::deque<Task> tasks_{};
  bool over_{false};
  std::thread thread_;
};

class HttpTest : public testing::Test {
 protected:
  HttpTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "safekit-api-XXXXXX").string();
    directory = ::mkdtemp(pattern.data());
    options.socket_path = directory + "/safekitd.sock";
    options.https_host = "127.0.0.1";
    options.https_port = 0;
    options.probe_host = "127.0.0.1";
    options.probe_port = 0;
    open();
  }
  ~HttpTest() override {
    close();
    std::filesystem::remove_all(directory);
  }
  void open() {
    loop.run_and_wait([this] {
      server = std::make_unique<Server>(loop, store, clock, log, options, Callbacks{},
                                        [](const std::string& token) { return token == "secret" ? "admin" : ""; });
      const Status started = server->start();
      EXPECT_TRUE(started) << started.error().what;
    });
  }
  void close() {
    loop.run_and_wait([this] { server.reset(); });
  }
  static Request get(const std::string& path) { return {.path = std::string{kRoot} + path}; }

  fake::ManualClock clock{};
  fake::KeptLog log{};
  store::MemoryBackend backend{};
  store::Store store{backend, clock, NodeName{"node1"}};
  ThreadLoop loop{};
  std::string directory{};
  ServerOptions options{};
  std::unique_ptr<Server> server{};
};

TEST_F(HttpTest, AnswersOnTheUnixSocket) {
  const auto client = local_client(options.socket_path);
  for (int i = 0; i < 3; ++i) {
    const auto answer = client->call(get("/modules"));
    ASSERT_TRUE(answer.has_value()) << answer.error().what;
    EXPECT_EQ(answer->status, 200);
    EXPECT_THAT(answer->body, HasSubstr("ModuleList"));
  }
  const auto missing = client->call(get("/modules/a b/status"));
  ASSERT_TRUE(missing.has_value());
  EXPECT_THAT(status_of(*missing).error().what, HasSubstr("no module 'a b'"));
  EXPECT_EQ(std::filesystem::status(options.socket_path).permissions(), std::filesystem::perms{0660});
}

TEST_F(HttpTest, WritesAnObjectAndKnowsWhoDidIt) {
  const auto client = local_client(options.socket_path);
  Request request{.method = Method::Put,
                  .path = std::string{kRoot} + "/clusters/demo",
                  .content_type = "application/yaml",
                  .body = "apiVersion: safekit/v1\nkind: Cluster\nmetadata: {name: demo}\nspec:\n  lans:\n    - name: default\n"
                          "      nodes: {node1: 10.0.0.1, node2: 10.0.0.2}\n"};
  const auto answer = client->call(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 201) << answer->body;
  loop.run_and_wait([this] {
    EXPECT_FALSE(store.get({store::Kind::Cluster, "cluster"})->author.empty());
  });
}

TEST_F(HttpTest, RefusesABodyWithoutEnd) {
  const auto client = local_client(options.socket_path);
  const auto answer = client->call(Request{.method = Method::Post, .path = std::string{kRoot} + "/apply", .content_type = "text/plain",
                                           .body = std::string(kBodyBytesMax + 1, 'x')});
  if (answer) { EXPECT_EQ(answer->status, 413); }
  const auto again = local_client(options.socket_path)->call(get("/modules"));
  EXPECT_TRUE(again.has_value());
}

TEST_F(HttpTest, RefusesAHeadWithoutEnd) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  options.socket_path.copy(address.sun_path, options.socket_path.size());
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  std::string head = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 20'000; ++i) head += "X-A: bbbbbbbbbbbbbb\r\n";
  (void)::send(fd, head.data(), head.size(), MSG_NOSIGNAL);
  std::array<char, 4096> buffer{};
  while (::recv(fd, buffer.data(), buffer.size(), 0) > 0) {
  }
  ::close(fd);
  EXPECT_TRUE(local_client(options.socket_path)->call(get("/modules")).has_value());
}

TEST_F(HttpTest, AWatchHearsOfChangesUntilTheReaderHasEnough) {
  const auto client = local_client(options.socket_path);
  loop.run_and_wait([this] { store.record(ModuleName{"web"}, "heart", 'E', "first"); });
  Request request = get("/modules/web/events");
  request.query["last"] = "1";
  std::vector<std::string> heard;
  const Status status = client->watch(request, Duration::max(), [&](std::string_view, const doc::Node& data) {
    heard.push_back(text_at(data, {"message"}));
    if (heard.size() == 1) loop.post([this] { store.record(ModuleName{"web"}, "heart", 'E', "second"); });
    return heard.size() < 2;
  });
  EXPECT_TRUE(status);
  EXPECT_THAT(heard, testing::ElementsAre("first", "second"));
}

TEST_F(HttpTest, TheEndOfTheServerEndsAWatch) {
  const auto client = local_client(options.socket_path);
  const Status status = client->watch(get("/nodes"), Duration::max(), [&](std::string_view, const doc::Node&) {
    loop.post([this] { server.reset(); });
    return true;
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Unavailable);
}

TEST_F(HttpTest, AWatchThatIsRefusedSaysWhy) {
  const Status status = local_client(options.socket_path)->watch(get("/bogus"), Duration::max(), [](auto, const auto&) { return true; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::NotFound);
}

TEST_F(HttpTest, ASecondServerOnTheSocketIsRefusedAndALeftOneReplaced) {
  const auto second = listen_local(options.socket_path, "");
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::Conflict);
  close();
  const auto left = listen_local(options.socket_path, "");
  ASSERT_TRUE(left.has_value());
  ::close(*left);
  EXPECT_TRUE(std::filesystem::exists(options.socket_path));
  open();
  EXPECT_TRUE(local_client(options.socket_path)->call(get("/modules")).has_value());
}

TEST_F(HttpTest, WithoutADaemonTheMessageSaysHowToStartIt) {
  close();
  const auto answer = local_client(options.socket_path)->call(get("/modules"));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Code::Unavailable);
  EXPECT_THAT(answer.error().what, HasSubstr("safekitd is not running"));
}

}  // namespace
}  // namespace safekit::api
