#include "datapath/linux/echo_probe.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fstream>

#include "datapath/linux/loop.h"

namespace safekit::linux_os {
namespace {

/// In a network of its own, which has a loopback interface and nothing else.
class EchoProbeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "makes a network namespace and raw sockets: needs root";
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    const Fd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq loopback{};
    loopback.ifr_name[0] = 'l';
    loopback.ifr_name[1] = 'o';
    loopback.ifr_flags = IFF_UP;
    ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &loopback), 0);
  }
  void TearDown() override { EXPECT_EQ(::setns(before.get(), CLONE_NEWNET), 0); }
  Status echo(const std::string& host, Duration timeout = seconds{20}) {
    Status result = Error{Code::Io, "the task did not run"};
    probe.echo(host, timeout, [&](const Status& status) {
      result = status;
      loop.stop();
    });
    loop.run();
    return result;
  }
  Fd before{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
  AsioLoop loop{};
  SystemEchoProbe probe{loop};
};

TEST_F(EchoProbeTest, IsAnswered) {
  for (const char* host : {"127.0.0.1", "localhost", "::1", "[::1]"}) EXPECT_TRUE(echo(host)) << host;
  EXPECT_TRUE(echo("127.0.0.1")) << "again, over the same socket";
}

TEST_F(EchoProbeTest, TellsWhatDoesNotAnswer) {
  const Status no_way = echo("192.0.2.1");
  ASSERT_FALSE(no_way);
  EXPECT_EQ(no_way.error().code, Code::Unavailable);
  EXPECT_EQ(no_way.error().what, "192.0.2.1: Network is unreachable");
  EXPECT_EQ(echo("no-such-host.invalid").error().code, Code::NotFound);
  std::ofstream{"/proc/sys/net/ipv4/icmp_echo_ignore_all"} << "1";
  EXPECT_EQ(echo("127.0.0.1", milliseconds{50}).error().code, Code::Timeout);
}

TEST_F(EchoProbeTest, ManyAreToldApart) {
  int answered = 0;
  for (int i = 0; i < 50; ++i) {
    probe.echo("127.0.0.1", seconds{20}, [&](const Status& status) {
      EXPECT_TRUE(status);
      if (++answered == 50) loop.stop();
    });
  }
  loop.run();
  EXPECT_EQ(answered, 50);
}

TEST(EchoProbe, GivesUpWhatIsUnderWayWhenItGoes) {
  AsioLoop loop;
  {
    SystemEchoProbe probe{loop};
    probe.echo("127.0.0.1", seconds{20}, [](const Status&) { FAIL() << "called back after its end"; });
    probe.echo("no-such-host.invalid", seconds{20},
               [](const Status&) { FAIL() << "called back after its end"; });
  }
  loop.post([&] { loop.stop(); });
  loop.run();
}

}  // namespace
}  // namespace safekit::linux_os
