#include <filesystem>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "datapath/linux/crypto.h"
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
      server =
          std::make_unique<Server>(loop, store, clock, log, options, Callbacks{},
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
                  .body =
                      "apiVersion: safekit/v1\nkind: Cluster\nmetadata: {name: demo}\nspec:\n  lans:\n    - "
                      "name: default\n"
                      "      nodes: {node1: 10.0.0.1, node2: 10.0.0.2}\n"};
  const auto answer = client->call(request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 201) << answer->body;
  loop.run_and_wait([this] { EXPECT_FALSE(store.get({store::Kind::Cluster, "cluster"})->author.empty()); });
}

TEST_F(HttpTest, RefusesABodyWithoutEnd) {
  const auto client = local_client(options.socket_path);
  const auto answer = client->call(Request{.method = Method::Post,
                                           .path = std::string{kRoot} + "/apply",
                                           .content_type = "text/plain",
                                           .body = std::string(kBodyBytesMax + 1, 'x')});
  if (answer) {
    EXPECT_EQ(answer->status, 413);
  }
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
  const Status status =
      client->watch(get("/nodes"), Duration::max(), [&](std::string_view, const doc::Node&) {
        loop.post([this] { server.reset(); });
        return true;
      });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::Unavailable);
}

TEST_F(HttpTest, AWatchThatIsRefusedSaysWhy) {
  const Status status =
      local_client(options.socket_path)->watch(get("/bogus"), Duration::max(), [](auto, const auto&) {
        return true;
      });
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

/// A node's certificate of a new authority.
struct Trust {
  linux_os::OpensslCrypto crypto{};
  Identity authority{};
  Identity node{};
  Trust() {
    authority = crypto.make_authority("cluster", 10).value();
    node = crypto.make_request("node1").value();
    node.certificate_pem = crypto.sign_request(authority, node.certificate_pem, "node1", 10).value();
  }
};

class HttpsTest : public HttpTest {
 protected:
  HttpsTest() { use(trust.node); }
  void use(const Identity& identity) {
    loop.run_and_wait([&] {
      const Status status = server->set_identity(identity);
      EXPECT_TRUE(status) << status.error().what;
      port = server->https_port();
    });
  }
  std::unique_ptr<Client> client(const std::string& token, const std::string& authority) const {
    return https_client({.host = "127.0.0.1", .port = port, .token = token, .authority_pem = authority});
  }
  Trust trust{};
  std::uint16_t port{0};
};

TEST_F(HttpsTest, ATokenAndTheAuthorityOpenIt) {
  const auto answer = client("secret", trust.authority.certificate_pem)->call(get("/modules"));
  ASSERT_TRUE(answer.has_value()) << answer.error().what;
  EXPECT_EQ(answer->status, 200);
  std::vector<std::string> types;
  const Status watched =
      client("secret", trust.authority.certificate_pem)
          ->watch(get("/nodes"), Duration::max(), [&types](std::string_view type, const doc::Node&) {
            types.emplace_back(type);
            return false;
          });
  EXPECT_TRUE(watched) << watched.error().what;
  EXPECT_THAT(types, testing::ElementsAre("ADDED"));
}

TEST_F(HttpsTest, WithoutATokenNothingIsToldOrTaken) {
  for (const char* token : {"", "wrong"}) {
    const auto stranger = client(token, trust.authority.certificate_pem);
    EXPECT_EQ(stranger->call(get("/modules"))->status, 403);
    EXPECT_EQ(stranger->call({.path = "/metrics"})->status, 404);
    EXPECT_EQ(stranger->call({.path = "/healthz"})->status, 200);
    const auto big = client(token, trust.authority.certificate_pem)
                         ->call({.method = Method::Post,
                                 .path = std::string{kRoot} + "/apply",
                                 .body = std::string(1U << 20, 'x')});
    if (big) {
      EXPECT_EQ(big->status, 413);
    }
  }
}

TEST_F(HttpsTest, AServerOfAnotherClusterIsRefused) {
  const Trust other;
  const auto answer = client("secret", other.authority.certificate_pem)->call(get("/modules"));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Code::Denied);
  const auto nonsense = client("secret", "no certificate")->call(get("/modules"));
  EXPECT_EQ(nonsense.error().code, Code::Invalid);
}

TEST_F(HttpsTest, ARenewedCertificateIsUsedForTheNextConnection) {
  const Trust other;
  use(other.node);
  EXPECT_TRUE(client("secret", other.authority.certificate_pem)->call(get("/modules")).has_value());
  loop.run_and_wait([this] { EXPECT_FALSE(server->set_identity({.key_pem = "x", .certificate_pem = "y"})); });
  EXPECT_TRUE(client("secret", other.authority.certificate_pem)->call(get("/modules")).has_value());
}

TEST_F(HttpTest, ThePortOfLoadBalancersAnswersProbesOnly) {
  std::uint16_t port = 0;
  loop.run_and_wait([&] { port = server->probe_port(); });
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string ask =
      "GET /var/modules/web/ready.txt HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /apis/safekit/v1/modules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  ASSERT_GT(::send(fd, ask.data(), ask.size(), MSG_NOSIGNAL), 0);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  ::close(fd);
  EXPECT_THAT(text, HasSubstr("not ready"));
  EXPECT_THAT(text, HasSubstr("health probes only"));
  EXPECT_THAT(text, Not(HasSubstr("ModuleList")));
}

}  // namespace
}  // namespace safekit::api
