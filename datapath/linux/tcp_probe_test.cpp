#include "datapath/linux/tcp_probe.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <gtest/gtest.h>

#include "datapath/linux/loop.h"

namespace safekit::linux_os {
namespace {

/// A socket of this machine; it takes connections only where it listens.
struct Listener {
  explicit Listener(bool listening) {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), size), 0);
    if (listening) {
      EXPECT_EQ(::listen(socket.get(), 5), 0);
    }
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&any), &size), 0);
    port = ntohs(any.sin_port);
  }
  Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::uint16_t port{0};
};

Status probe(const std::string& host, std::uint16_t port) {
  AsioLoop loop;
  SystemTcpProbe tcp{loop};
  Status result = Error{Code::Io, "the task did not run"};
  tcp.connect(host, port, seconds{20}, [&](const Status& status) {
    result = status;
    loop.stop();
  });
  loop.run();
  return result;
}

TEST(SystemTcpProbe, ReachesAServer) {
  const Listener server{true};
  EXPECT_TRUE(probe("127.0.0.1", server.port).has_value());
  EXPECT_TRUE(probe("localhost", server.port).has_value());
}

TEST(SystemTcpProbe, TellsThatNobodyListens) {
  const Listener server{false};
  EXPECT_EQ(probe("127.0.0.1", server.port).error().code, Code::Unavailable);
}

TEST(SystemTcpProbe, LooksUpNames) {
  const Listener server{true};
  // Whatever the resolver of this machine answers to a name that cannot exist, it is an answer.
  EXPECT_EQ(probe("no-such-host.invalid", server.port).error().code, Code::NotFound);
}

TEST(SystemTcpProbe, GivesUpWhatIsUnderWayWhenItGoes) {
  AsioLoop loop;
  {
    SystemTcpProbe tcp{loop};
    tcp.connect("127.0.0.1", 1, seconds{20}, [](const Status&) { FAIL() << "called back after its end"; });
    tcp.connect("no-such-host.invalid", 1, seconds{20},
                [](const Status&) { FAIL() << "called back after its end"; });
  }
  loop.post([&] { loop.stop(); });
  loop.run();
}

}  // namespace
}  // namespace safekit::linux_os
