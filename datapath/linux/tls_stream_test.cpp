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
#include "datapath/linux/tls_bundle.h"

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

/// With OpenSSL's own records on the other side, which also changes its keys, asks for a change of ours, and says that it ends.
class TlsSuiteTest : public TlsStreamTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Tls, TlsSuiteTest, ::testing::Values("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"));

TEST_P(TlsSuiteTest, ItsRecordsAreOpenssls) {
  auto listener = make_tls_listener(side("b", "a"), "127.0.0.1", port_);
  EXPECT_EQ(listener->next(Duration{0}).error().code, Code::Timeout);
  auto accepted = std::async(std::launch::async, [&] { return listener->next(seconds{5}); });
  const auto context = tls::make_context(side("a", "b"), false, false);
  ASSERT_EQ(SSL_CTX_set_ciphersuites(context->get(), GetParam()), 1);
  const std::unique_ptr<SSL, tls::SslDelete> ssl{SSL_new(context->get())};
  const Fd socket{connect_to_port()};
  ASSERT_EQ(SSL_set_fd(ssl.get(), socket.get()), 1);
  ASSERT_EQ(SSL_connect(ssl.get()), 1);
  const auto ours = accepted.get();
  ASSERT_TRUE(ours) << ours.error().what;
  Bytes content(40'000);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::uint8_t>(i * 7);
  for (const int update : {SSL_KEY_UPDATE_NONE, SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NONE}) {
    if (update != SSL_KEY_UPDATE_NONE) {
      ASSERT_EQ(SSL_key_update(ssl.get(), update), 1);
    }
    ASSERT_EQ(SSL_write(ssl.get(), content.data(), static_cast<int>(content.size())), static_cast<int>(content.size()));
    Bytes got(content.size());
    for (std::size_t at = 0; at < got.size();) {
      // Less than a record, and more than one.
      const std::size_t wanted = std::min<std::size_t>(at % 3 == 0 ? 100 : 30'000, got.size() - at);
      const auto bytes = (*ours)->read(std::span{got}.subspan(at, wanted), seconds{5});
      ASSERT_TRUE(bytes && *bytes > 0) << at;
      at += *bytes;
    }
    EXPECT_EQ(got, content);
    ASSERT_TRUE((*ours)->write(content, seconds{5}));
    got.assign(got.size(), 0);
    for (std::size_t at = 0; at < got.size();) {
      const int bytes = SSL_read(ssl.get(), got.data() + at, static_cast<int>(got.size() - at));
      ASSERT_GT(bytes, 0);
      at += static_cast<std::size_t>(bytes);
    }
    EXPECT_EQ(got, content);
  }
  ASSERT_EQ(SSL_write(ssl.get(), "end", 3), 3);
  ASSERT_EQ(SSL_shutdown(ssl.get()), 0);
  Bytes got(100);
  EXPECT_EQ((*ours)->read(got, seconds{5}).value(), 3u);
  const auto end = (*ours)->read(got, seconds{5});
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().what, "TLS: the peer ended the connection: close notify");
}

class TlsBundleTest : public TlsStreamTest {
 protected:
  std::unique_ptr<tls::Connection> connection() {
    const auto context = tls::make_context(side("b", "a"), true, true);
    EXPECT_TRUE(context);
    return std::make_unique<tls::Connection>(Fd{}, context->get(), true);
  }
  TlsPeer with(std::uint32_t connections) {
    TlsPeer client = side("a", "b");
    client.connections = connections;
    return client;
  }
};

TEST_F(TlsBundleTest, CarriesMuchInOrderBothWaysAtOnceFromManyWriters) {
  auto both = meet(side("b", "a"), with(4));
  ASSERT_TRUE(both.server) << both.server.error().what;
  ASSERT_TRUE(both.client) << both.client.error().what;
  // Each write is whole: its first bytes say how long it is and whose, and what follows is counted on for each writer.
  struct Writer {
    Stream& stream;
    std::uint8_t name{0};
  };
  constexpr std::uint32_t kWrites = 60;
  const auto send = [](Writer writer) {
    for (std::uint32_t i = 0; i < kWrites; ++i) {
      Bytes bytes(8 + i * i * 97 % 300'000, static_cast<std::uint8_t>(i));
      for (std::size_t k = 0; k < 4; ++k) bytes[k] = static_cast<std::uint8_t>(bytes.size() >> (8 * k));
      bytes[4] = writer.name;
      EXPECT_TRUE(writer.stream.write(bytes, seconds{10}));
    }
  };
  const auto check = [](Stream& stream) {
    const auto read_all = [&](std::span<std::uint8_t> into) {
      while (!into.empty()) {
        const auto got = stream.read(into, seconds{10});
        if (!got || *got == 0) return false;
        into = into.subspan(*got);
      }
      return true;
    };
    std::array<std::uint32_t, 2> seen{};
    for (std::uint32_t i = 0; i < 2 * kWrites; ++i) {
      std::array<std::uint8_t, 8> head{};
      ASSERT_TRUE(read_all(head));
      std::size_t size = 0;
      for (std::size_t k = 0; k < 4; ++k) size |= static_cast<std::size_t>(head[k]) << (8 * k);
      ASSERT_LT(head[4], 2);
      const std::uint32_t number = seen[head[4]]++;
      ASSERT_EQ(size, 8 + number * number * 97 % 300'000);
      Bytes rest(size - head.size());
      ASSERT_TRUE(read_all(rest));
      ASSERT_TRUE(std::ranges::all_of(rest, [&](std::uint8_t byte) { return byte == static_cast<std::uint8_t>(number); }));
    }
  };
  std::vector<std::thread> threads;
  for (const std::uint8_t name : {std::uint8_t{0}, std::uint8_t{1}}) {
    threads.emplace_back([&, name] { send({**both.server, name}); });
    threads.emplace_back([&, name] { send({**both.client, name}); });
  }
  threads.emplace_back([&] { check(**both.server); });
  check(**both.client);
  for (std::thread& thread : threads) thread.join();
  const auto nothing = (*both.client)->read(std::span<std::uint8_t>{}, Duration{0});
  EXPECT_TRUE(nothing && *nothing == 0);
}

TEST_F(TlsBundleTest, APeerOfAnEarlierReleaseGetsOneConnection) {
  const Fd listener{::socket(AF_INET, SOCK_STREAM, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  auto accepted = std::async(std::launch::async, [&] {
    const auto context = tls::make_context(side("b", "a"), true, true);
    SSL_CTX_set_alpn_select_cb(context->get(), nullptr, nullptr);  // it does not know of it
    tls::Connection server{Fd{::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK)}, context->get(), true};
    const tls::Stopper stopper;
    Bytes got(10);
    for (bool shaken = false;;) {
      if (!shaken) shaken = server.go_on_with_handshake("a").value();
      const std::size_t bytes = shaken ? server.read_some(got).value() : 0;
      if (bytes > 0) return Bytes{got.begin(), got.begin() + static_cast<std::ptrdiff_t>(bytes)};
      EXPECT_EQ(stopper.wait(server.socket(), POLLIN, tls::after(seconds{5})), 1);
    }
  });
  const auto client = make_tls_connector(with(4), "127.0.0.1", port_)->next(seconds{5});
  ASSERT_TRUE(client) << client.error().what;
  ASSERT_TRUE((*client)->write(Bytes{7}, seconds{5}));
  EXPECT_EQ(accepted.get(), Bytes{7});
  pollfd more{listener.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&more, 1, 0), 0);
}

TEST_F(TlsBundleTest, ASmallWriteComesWhileTheReaderWaits) {
  auto both = meet(side("b", "a"), with(bundle::kConnectionsMax));
  ASSERT_TRUE(both.server && both.client);
  for (std::uint8_t round = 0; round < 100; ++round) {
    Bytes piece(10);
    auto reading = std::async(std::launch::async, [&] { return (*both.client)->read(piece, seconds{10}); });
    ASSERT_TRUE((*both.server)->write(Bytes{round}, seconds{10}));
    const auto got = reading.get();
    ASSERT_TRUE(got && *got == 1);
    ASSERT_EQ(piece[0], round);
  }
  Bytes piece(10);
  const auto late = (*both.client)->read(piece, milliseconds{1});
  EXPECT_TRUE(late && *late == 0);
}

TEST_F(TlsBundleTest, AWriteThatIsNotTakenTimesOut) {
  auto both = meet(side("b", "a"), with(3));
  ASSERT_TRUE(both.server && both.client);
  const Status sent = (*both.client)->write(Bytes(200U << 20), milliseconds{100});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::Timeout);
}

TEST_F(TlsBundleTest, ShutWakesAReaderAndEndsTheOtherSide) {
  auto both = meet(side("b", "a"), with(3));
  ASSERT_TRUE(both.server && both.client);
  Bytes piece(10);
  auto waiting = std::async(std::launch::async, [&] { return (*both.client)->read(piece, seconds{30}); });
  (*both.client)->shut();
  EXPECT_FALSE(waiting.get());
  EXPECT_FALSE((*both.server)->read(piece, seconds{30}));
}

TEST_F(TlsBundleTest, ABundleThatIsNotCompletedGivesWayToTheNextOne) {
  auto listener = make_tls_listener(side("b", "a"), "127.0.0.1", port_);
  EXPECT_EQ(listener->next(Duration{0}).error().code, Code::Timeout);
  for (int i = 0; i < 3; ++i) {
    auto accepted = std::async(std::launch::async, [&] { return listener->next(seconds{4}); });
    const auto client = make_tls_connector(with(5), "127.0.0.1", port_)->next(seconds{4});
    EXPECT_TRUE(client) << client.error().what;
    const auto server = accepted.get();
    EXPECT_TRUE(server) << server.error().what;
    // One more that connects, and is gone before it has said what it is part of.
    const int fd = connect_to_port();
    ::close(fd);
  }
  // Half of one.
  tls::Gathering gathering;
  const bundle::Place old{.bundle = {1}, .count = 2, .index = 0};
  EXPECT_TRUE(gathering.add(connection(), old)->empty());
  EXPECT_EQ(gathering.add(connection(), old).error().code, Code::Corrupt);
  EXPECT_TRUE(gathering.add(connection(), {.bundle = {2}, .count = 2, .index = 1})->empty());
  const auto complete = gathering.add(connection(), {.bundle = {2}, .count = 2, .index = 0});
  EXPECT_EQ(complete->size(), 2u);
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
