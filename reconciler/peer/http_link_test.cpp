#include "reconciler/peer/http_link.h"

#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/linux/crypto.h"
#include "datapath/linux/loop.h"

namespace safekit::peer {
namespace {

using testing::HasSubstr;

/// A port that nobody had a moment ago; kept bound but not listening until `release`.
class FreePort {
 public:
  FreePort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    number_ = ntohs(address.sin_port);
  }
  FreePort(const FreePort&) = delete;
  FreePort& operator=(const FreePort&) = delete;
  ~FreePort() { release(); }
  [[nodiscard]] std::uint16_t number() const { return number_; }
  void release() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  std::uint16_t number_{0};
};

/// Two nodes of one cluster, and one of another with the same name as the first, on one loop.
class HttpLinkTest : public testing::Test {
 protected:
  struct Cluster {
    Identity authority{};
    Identity make(Crypto& crypto, const std::string& name) const {
      const Identity request = crypto.make_request(name).value();
      return {request.key_pem, crypto.sign_request(authority, request.certificate_pem, name, 10).value()};
    }
  };
  HttpLinkTest() {
    ours.authority = crypto.make_authority("safekit cluster demo 1", 10).value();
    foreign.authority = crypto.make_authority("safekit cluster other 2", 10).value();
    member1 = {NodeName{"node1"}, {"127.0.0.1"}, port1.number()};
    member2 = {NodeName{"node2"}, {"127.0.0.1"}, port2.number()};
    port1.release();
    port2.release();
    one = std::make_unique<HttpLink>(loop);
    two = std::make_unique<HttpLink>(loop);
    EXPECT_TRUE(one->set_identity(ours.authority.certificate_pem, ours.make(crypto, "node1")));
  }
  void start(const Cluster& cluster_of_two, const std::string& name_of_two = "node2") {
    EXPECT_TRUE(two->set_identity(cluster_of_two.authority.certificate_pem, cluster_of_two.make(crypto, name_of_two)));
    two->on_request([](const NodeName& from, const std::string& path, const std::string& body, const ReplyTask& reply) {
      if (path == "/fail") return reply(Error{Code::Conflict, "it is so"});
      reply(fmt::format("{}|{}|{}", from.str(), path, body));
    });
    one->set_members(member1, {member2});
    two->set_members({NodeName{"node2"}, {"127.0.0.1"}, member2.port}, {member1});
  }
  /// Asks until there is another answer than that nobody listens yet; runs the loop meanwhile.
  Result<std::string> ask(const std::string& path, std::string body) {
    Result<std::string> answer = Error{Code::Timeout, "the test ended first"};
    std::function<void()> send = [&] {
      one->request(NodeName{"node2"}, path, body, seconds{5}, [&](Result<std::string> reply) {
        answer = std::move(reply);
        if (!answer && answer.error().code == Code::Unavailable) {
          loop.after(milliseconds{20}, [&] { send(); });
        } else {
          loop.stop();
        }
      });
    };
    send();
    const TimerId end = loop.after(seconds{20}, [&] { loop.stop(); });
    loop.run();
    loop.cancel(end);
    return answer;
  }
  linux_os::OpensslCrypto crypto{};
  linux_os::AsioLoop loop{};
  Cluster ours{};
  Cluster foreign{};
  FreePort port1{};
  FreePort port2{};
  Member member1{};
  Member member2{};
  std::unique_ptr<HttpLink> one{};
  std::unique_ptr<HttpLink> two{};
};

TEST_F(HttpLinkTest, CarriesRequestsWithTheProvedNameOfTheSender) {
  start(ours);
  EXPECT_EQ(ask("/exchange/summary", std::string(100'000, 'x')).value(), "node1|/exchange/summary|" + std::string(100'000, 'x'));
  const auto failed = ask("/fail", "");
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error(), (Error{Code::Conflict, "it is so"}));
}

TEST_F(HttpLinkTest, TriesTheNextAddressWhenOneIsSilent) {
  member2.addresses = {"127.0.0.77", "127.0.0.1"};
  start(ours);
  EXPECT_EQ(ask("/a", "b").value(), "node1|/a|b");
}

TEST_F(HttpLinkTest, ANodeOfAnotherClusterIsRefusedAndBothAreNamed) {
  start(foreign);
  const auto answer = ask("/a", "");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Code::Denied);
  EXPECT_THAT(answer.error().what, testing::AllOf(HasSubstr("another cluster"), HasSubstr("safekit cluster other 2"),
                                                  HasSubstr("safekit cluster demo 1")));
}

TEST_F(HttpLinkTest, AnotherNodeOfTheClusterAtTheAddressIsNotTheOneMeant) {
  start(ours, "node3");
  const auto answer = ask("/a", "");
  ASSERT_FALSE(answer.has_value());
  EXPECT_THAT(answer.error().what, HasSubstr("'node3' answers there, not 'node2'"));
}

TEST_F(HttpLinkTest, ANodeThatTheClusterDoesNotNameIsRefused) {
  start(ours);
  EXPECT_TRUE(ask("/a", "").has_value());
  two->set_members(member2, {});
  EXPECT_FALSE(ask("/a", "").has_value());
  EXPECT_THAT(two->problems(), testing::Contains(HasSubstr("'node1' has a certificate of this cluster but is not named")));
}

TEST_F(HttpLinkTest, AnsweringMayTakeAWhile) {
  start(ours);
  two->on_request([this](const NodeName&, const std::string&, const std::string&, const ReplyTask& reply) {
    loop.after(milliseconds{50}, [reply] { reply(std::string{"late"}); });
  });
  EXPECT_EQ(ask("/a", "").value(), "late");
}

TEST_F(HttpLinkTest, GoesOnWithARenewedCertificate) {
  start(ours);
  EXPECT_TRUE(ask("/a", "").has_value());
  EXPECT_TRUE(one->set_identity(ours.authority.certificate_pem, ours.make(crypto, "node1")));
  EXPECT_TRUE(two->set_identity(ours.authority.certificate_pem, ours.make(crypto, "node2")));
  EXPECT_TRUE(ask("/a", "").has_value());
}

TEST_F(HttpLinkTest, APortTakenIsAProblemThatNamesIt) {
  const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(member2.port);
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  start(ours);
  std::function<void()> look = [&] {
    if (two->problems().empty()) loop.after(milliseconds{10}, look);
    else loop.stop();
  };
  look();
  loop.run();
  EXPECT_THAT(two->problems(), testing::Contains(HasSubstr(fmt::format("port {}: the port is taken", member2.port))));
  ::close(taken);
  EXPECT_TRUE(ask("/a", "").has_value());
}

TEST_F(HttpLinkTest, EndsWhileRequestsAreUnderWay) {
  start(ours);
  EXPECT_TRUE(ask("/a", "").has_value());
  two->on_request([](const NodeName&, const std::string&, const std::string&, const ReplyTask&) {});
  for (std::size_t i = 0; i < 10; ++i) {
    one->request(NodeName{"node2"}, "/a", "", seconds{5}, [](const Result<std::string>&) { FAIL(); });
  }
  one.reset();
  two.reset();
}

TEST_F(HttpLinkTest, RefusesWhatItCannotRead) {
  EXPECT_EQ(one->set_identity("nonsense", {}).error().code, Code::Invalid);
  Identity mixed = ours.make(crypto, "node1");
  mixed.key_pem = ours.make(crypto, "node1").key_pem;
  EXPECT_EQ(one->set_identity(ours.authority.certificate_pem, mixed).error().code, Code::Invalid);
}

}  // namespace
}  // namespace safekit::peer
