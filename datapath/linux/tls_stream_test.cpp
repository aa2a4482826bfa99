#include "datapath/linux/tls_stream.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "datapath/linux/crypto.h"

namespace safekit {
namespace {

class TlsStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/tls-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    authority_ = make_cluster("ca", {"a", "b"});
    port_ = free_port();
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) { std::ofstream{directory_ + "/" + name} << text; }
  Identity make_cluster(const std::string& ca, const std::vector<std::string>& nodes) {
    auto authority = crypto_.make_authority(ca, 10);
    EXPECT_TRUE(authority);
    write(ca + ".pem", authority->certificate_pem);
    for (const std::string& node : nodes) {
      auto request = crypto_.make_request(node);
      EXPECT_TRUE(request);
      auto certificate = crypto_.sign_request(*authority, request->certificate_pem, node, 10);
      EXPECT_TRUE(certificate);
      write(ca + "-" + node + ".key", request->key_pem);
      write(ca + "-" + node + ".pem", *certificate);
    }
    return *authority;
  }
  TlsPeer side(const std::string& own, const std::string& peer, const std::string& ca = "ca") {
    const std::string base = directory_ + "/" + ca;
    return {base + "-" + own + ".pem", base + "-" + own + ".key", base + ".pem", peer, seconds{5}};
  }
  static std::uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ::bind(fd, reinterpret_cast<sockaddr*>(&address), length);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    ::close(fd);
    return ntohs(address.sin_port);
  }
  int connect_to_port() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  struct Both {
    Result<std::unique_ptr<Stream>> server{Error{}};
    Result<std::unique_ptr<Stream>> client{Error{}};
  };
  Both meet(const TlsPeer& server, const TlsPeer& client) {
    auto listener = make_tls_listener(server, "127.0.0.1", port_);
    (void)listener->next(Duration{0});  // listens from here on
    auto accepted = std::async(std::launch::async, [&] { return listener->next(seconds{10}); });
    auto connector = make_tls_connector(client, "127.0.0.1", port_);
    Both both;
    both.client = connector->next(seconds{10});
    // A client that refuses the server closes; TLS 1.3 tells a client that is refused only at its first read.
    both.server = accepted.get();
    return both;
  }

  linux_os::OpensslCrypto crypto_{};
  std::string directory_{};
  Identity authority_{};
  std::uint16_t port_{0};
};

TEST_F(TlsStreamTest, CarriesMuchBothWaysAtOnce) {
  auto both = meet(side("b", "a"), side("a", "b"));
  ASSERT_TRUE(both.server) << both.server.error().what;
  ASSERT_TRUE(both.client) << both.client.error().what;
  constexpr std::size_t kBytes = 20U << 20;
  const auto send = [](Stream& stream, std::uint8_t seed) {
    Bytes bytes(kBytes);
    for (std::size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + seed);
    EXPECT_TRUE(stream.write(bytes, seconds{10}));
  };
  const auto check = [](Stream& stream, std::uint8_t seed) {
    Bytes piece(100'000);
    for (std::size_t at = 0; at < kBytes;) {
      const auto got = stream.read(piece, seconds{10});
      ASSERT_TRUE(got && *got > 0);
      for (std::size_t i = 0; i < *got; ++i, ++at) ASSERT_EQ(piece[i], static_cast<std::uint8_t>(at * 31 + seed));
    }
  };
  std::thread one{[&] { send(**both.server, 1); }};
  std::thread two{[&] { send(**both.client, 2); }};
  std::thread three{[&] { check(**both.server, 2); }};
  check(**both.client, 1);
  for (std::thread* thread : {&one, &two, &three}) thread->join();
  const auto nothing = (*both.client)->read(std::span<std::uint8_t>{}, Duration{0});
  EXPECT_TRUE(nothing && *nothing == 0);
}

TEST_F(TlsStreamTest, ShutWakesAReaderAndEndsTheOtherSide) {
  auto both = meet(side("b", "a"), side("a", "b"));
  ASSERT_TRUE(both.server && both.client);
  Bytes piece(10);
  auto waiting = std::async(std::launch::async, [&] { return (*both.client)->read(piece, seconds{30}); });
  (*both.client)->shut();
  EXPECT_FALSE(waiting.get());
  EXPECT_FALSE((*both.server)->read(piece, seconds{30}));
}

TEST_F(TlsStreamTest, RefusesAnotherNameAndAnotherCluster) {
  const auto named = meet(side("b", "c"), side("a", "b"));
  ASSERT_FALSE(named.server);
  EXPECT_EQ(named.server.error().code, Code::Denied);
  EXPECT_NE(named.server.error().what.find("'a'"), std::string::npos);
  make_cluster("other", {"a"});
  const auto foreign = meet(side("b", "a"), side("a", "b", "other"));
  EXPECT_FALSE(foreign.client);
  EXPECT_FALSE(foreign.server);
}

TEST_F(TlsStreamTest, SaysThatThePortIsTaken) {
  auto first = make_tls_listener(side("b", "a"), "127.0.0.1", port_);
  EXPECT_EQ(first->next(Duration{0}).error().code, Code::Timeout);
  const auto second = make_tls_listener(side("b", "a"), "127.0.0.1", port_)->next(Duration{0});
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().what.find("another program uses the port"), std::string::npos);
  const auto nobody = make_tls_connector(side("a", "b"), "127.0.0.1", free_port())->next(seconds{5});
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, Code::Unavailable);
}

TEST_F(TlsStreamTest, APeerThatStallsItsHandshakeHoldsUpNobody) {
  auto listener = make_tls_listener(side("b", "a"), "127.0.0.1", port_);
  EXPECT_EQ(listener->next(Duration{0}).error().code, Code::Timeout);
  std::vector<int> stalled;
  for (int i = 0; i < 40; ++i) {
    stalled.push_back(connect_to_port());
    // Half of a record that will not end, from every other one.
    const ssize_t bytes = i % 2 == 0 ? 4 : 0;
    EXPECT_EQ(::send(stalled.back(), "\x16\x03\x01\x02", static_cast<std::size_t>(bytes), MSG_NOSIGNAL), bytes);
    EXPECT_EQ(listener->next(milliseconds{1}).error().code, Code::Timeout);
  }
  auto accepted = std::async(std::launch::async, [&] { return listener->next(seconds{4}); });
  const auto client = make_tls_connector(side("a", "b"), "127.0.0.1", port_)->next(seconds{4});
  EXPECT_TRUE(client) << client.error().what;
  const auto server = accepted.get();
  EXPECT_TRUE(server) << server.error().what;
  for (const int fd : stalled) ::close(fd);
}

TEST_F(TlsStreamTest, ShutEndsAHandshakeThatStalls) {
  auto listener = make_tls_listener(side("b", "a"), "127.0.0.1", port_);
  EXPECT_EQ(listener->next(Duration{0}).error().code, Code::Timeout);
  // The kernel takes the connection, but nobody answers the handshake.
  auto connector = make_tls_connector(side("a", "b"), "127.0.0.1", port_);
  auto connecting = std::async(std::launch::async, [&] { return connector->next(seconds{4}); });
  EXPECT_EQ(connecting.wait_for(std::chrono::milliseconds{200}), std::future_status::timeout);
  connector->shut();
  EXPECT_EQ(connecting.get().error().code, Code::Unavailable);
  const int fd = connect_to_port();
  EXPECT_EQ(listener->next(milliseconds{20}).error().code, Code::Timeout);
  auto listening = std::async(std::launch::async, [&] { return listener->next(seconds{4}); });
  listener->shut();
  EXPECT_EQ(listening.get().error().code, Code::Unavailable);
  ::close(fd);
}

}  // namespace
}  // namespace safekit
