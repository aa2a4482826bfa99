#include "datapath/heartbeat/service.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <set>

#include "datapath/heartbeat/packet.h"
#include "datapath/linux/clock.h"
#include "datapath/linux/crypto.h"
#include "datapath/linux/fd.h"
#include "datapath/linux/loop.h"
#include "datapath/linux/random.h"

namespace safekit::heartbeat {
namespace {

const NodeName kA{"a"};
const NodeName kB{"b"};
const LanName kOne{"one"};
const LanName kTwo{"two"};

/// Two nodes on two networks, all on the loopback interface: 127.1.0.x and 127.2.0.x.
class HeartbeatServiceTest : public ::testing::Test {
 protected:
  HeartbeatServiceTest() {
    const Fd socket{::socket(AF_INET, SOCK_DGRAM, 0)};
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t size = sizeof any;
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), size), 0);
    EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&any), &size), 0);
    port = ntohs(any.sin_port);  // free for all addresses a moment ago
    loop.after(seconds{30}, [this] {
      ADD_FAILURE() << "timed out";
      timed_out = true;
      loop.stop();
    });
  }
  std::unique_ptr<HeartbeatService> make(const NodeName& node, SecretKey key = {1}) {
    auto service = std::make_unique<HeartbeatService>(HeartbeatService::Options{.node = node, .key = key},
                                                      clock, random, crypto, loop);
    return service;
  }
  LinkPlan plan(const NodeName& node, Duration timeout = milliseconds{300}) const {
    const bool first = node == kA;
    LinkPlan links{.port = port, .period = milliseconds{20}};
    for (const auto& [lan, net] : {std::pair{kOne, "127.1.0."}, std::pair{kTwo, "127.2.0."}}) {
      links.links.push_back({.lan = lan,
                             .peer = first ? kB : kA,
                             .local_address = std::string{net} + (first ? "1" : "2"),
                             .peer_address = std::string{net} + (first ? "2" : "1"),
                             .timeout = timeout});
    }
    return links;
  }
  /// Runs the loop until the condition holds, asked after each change that a service tells.
  void until(std::initializer_list<HeartbeatService*> services, const std::function<bool()>& holds) {
    for (HeartbeatService* service : services) {
      service->on_change([&, this](const NodeName&) {
        if (holds()) loop.stop();
      });
    }
    while (!holds() && !timed_out) loop.run();
    for (HeartbeatService* service : services) service->on_change({});
  }
  static Health health(const HeartbeatService& service, const LanName& lan, const NodeName& peer) {
    return service.state(lan, peer).health;
  }

  linux_os::SystemClock clock{};
  linux_os::SystemRandom random{};
  linux_os::OpensslCrypto crypto{};
  linux_os::AsioLoop loop{};
  std::uint16_t port{0};
  bool timed_out{false};
};

TEST_F(HeartbeatServiceTest, BothEndsHearEachOtherAndEachNewPayload) {
  const auto a = make(kA), b = make(kB);
  ASSERT_TRUE(a->configure(plan(kA)));
  ASSERT_TRUE(b->configure(plan(kB)));
  ASSERT_TRUE(a->publish({1}));
  ASSERT_TRUE(b->publish({2}));
  const auto all_up = [&] {
    return a->payload(kB) == Bytes{2} && b->payload(kA) == Bytes{1} && health(*a, kOne, kB) == Health::Up &&
           health(*a, kTwo, kB) == Health::Up && health(*b, kOne, kA) == Health::Up &&
           health(*b, kTwo, kA) == Health::Up;
  };
  until({a.get(), b.get()}, all_up);
  ASSERT_TRUE(all_up());
  const Bytes large(kPayloadBytesMax, 7);
  ASSERT_TRUE(a->publish(large));
  until({b.get()}, [&] { return b->payload(kA) == large; });
  EXPECT_EQ(a->publish(Bytes(kPayloadBytesMax + 1)).error().code, Code::Exhausted);
  EXPECT_EQ(a->state(kOne, kB).error, 0);
}

TEST_F(HeartbeatServiceTest, ASilentPeerIsDownAfterTheTimeoutAndItsNextLifeIsUp) {
  const auto a = make(kA);
  auto b = make(kB);
  ASSERT_TRUE(a->configure(plan(kA)));
  ASSERT_TRUE(b->configure(plan(kB)));
  ASSERT_TRUE(a->publish({1}));
  ASSERT_TRUE(b->publish({2}));
  const auto both = [&](Health wanted) {
    return [&a, wanted] { return health(*a, kOne, kB) == wanted && health(*a, kTwo, kB) == wanted; };
  };
  until({a.get()}, both(Health::Up));
  b.reset();
  until({a.get()}, both(Health::Down));
  const LinkState state = a->state(kOne, kB);
  ASSERT_TRUE(state.heard);
  const Duration silence = clock.mono_now() - std::max(*state.heard, state.listening_since);
  EXPECT_GE(silence, milliseconds{300});
  RecordProperty("down_after_us", static_cast<int>(silence.count() / 1000));
  std::printf("down after %.2f ms of silence, scheduling delay %.2f ms\n",
              static_cast<double>(silence.count()) / 1e6,
              static_cast<double>(a->take_scheduling_delay().count()) / 1e6);
  b = make(kB);
  ASSERT_TRUE(b->configure(plan(kB)));
  ASSERT_TRUE(b->publish({3}));
  until({a.get()}, [&] { return both(Health::Up)() && a->payload(kB) == Bytes{3}; });
  EXPECT_TRUE(both(Health::Up)());
}

TEST_F(HeartbeatServiceTest, AnotherKeyIsNeverHeard) {
  const auto a = make(kA), b = make(kB, {2});
  ASSERT_TRUE(a->configure(plan(kA)));
  ASSERT_TRUE(b->configure(plan(kB)));
  ASSERT_TRUE(a->publish({1}));
  ASSERT_TRUE(b->publish({2}));
  until({a.get()},
        [&] { return health(*a, kOne, kB) == Health::Down && health(*a, kTwo, kB) == Health::Down; });
  EXPECT_EQ(a->state(kOne, kB).heard, std::nullopt);
  EXPECT_EQ(a->payload(kB), std::nullopt);
}

TEST_F(HeartbeatServiceTest, LinksThatStayGoOnWhenOthersAreReplaced) {
  const auto a = make(kA), b = make(kB);
  ASSERT_TRUE(a->configure(plan(kA)));
  ASSERT_TRUE(b->configure(plan(kB)));
  ASSERT_TRUE(a->publish({1}));
  ASSERT_TRUE(b->publish({2}));
  until({a.get()}, [&] { return health(*a, kOne, kB) == Health::Up && health(*a, kTwo, kB) == Health::Up; });
  LinkPlan one = plan(kA);
  one.links.pop_back();
  ASSERT_TRUE(a->configure(one));
  EXPECT_EQ(health(*a, kOne, kB), Health::Up);
  EXPECT_EQ(a->state(kTwo, kB).heard, std::nullopt);
  until({b.get()}, [&] { return health(*b, kTwo, kA) == Health::Down; });
  EXPECT_EQ(health(*b, kOne, kA), Health::Up);
  ASSERT_TRUE(a->configure(plan(kA)));  // counted on, not from the start: b would take it for a replay
  until({b.get(), a.get()},
        [&] { return health(*b, kTwo, kA) == Health::Up && health(*a, kTwo, kB) == Health::Up; });
  EXPECT_EQ(health(*a, kOne, kB), Health::Up);
}

TEST_F(HeartbeatServiceTest, TellsWhyASocketCannotBeBound) {
  const auto a = make(kA), second = make(kA);
  LinkPlan links = plan(kA);
  links.links[1].local_address = "192.0.2.1";  // nobody's
  ASSERT_TRUE(a->configure(links));
  ASSERT_TRUE(a->publish({1}));
  until({a.get()}, [&] { return health(*a, kTwo, kB) == Health::Down; });
  EXPECT_EQ(a->state(kTwo, kB).error, EADDRNOTAVAIL);
  EXPECT_EQ(a->state(kOne, kB).error, 0);
  ASSERT_TRUE(second->configure(plan(kA)));
  ASSERT_TRUE(second->publish({1}));
  until({second.get()}, [&] { return health(*second, kOne, kB) == Health::Down; });
  EXPECT_EQ(second->state(kOne, kB).error, EADDRINUSE);
  links.links[0].peer_address = "name.example";
  EXPECT_EQ(a->configure(links).error().code, Code::Invalid);
}

/// Between the two ends: keeps all datagrams for b of network one, and can send them again.
TEST_F(HeartbeatServiceTest, ARecordedLifeIsNotHeardAgain) {
  auto a = make(kA);
  auto b = make(kB);
  const auto only_one = [this](const NodeName& node) {
    LinkPlan links = plan(node);
    links.links.pop_back();
    return links;
  };
  sockaddr_in middle{};
  middle.sin_family = AF_INET;
  middle.sin_port = htons(port);
  middle.sin_addr.s_addr = htonl(0x7f010003);  // 127.1.0.3
  const Fd tap{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ASSERT_EQ(::bind(tap.get(), reinterpret_cast<const sockaddr*>(&middle), sizeof middle), 0);
  sockaddr_in to_b = middle;
  to_b.sin_addr.s_addr = htonl(0x7f010002);
  const auto send_to_b = [&](const Bytes& datagram) {
    (void)::sendto(tap.get(), datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&to_b),
                   sizeof to_b);
  };
  std::vector<Bytes> tape;
  loop.watch_readable(tap.get(), [&] {
    Bytes datagram(65536);
    const ssize_t got = ::recv(tap.get(), datagram.data(), datagram.size(), 0);
    if (got <= 0) return;
    datagram.resize(static_cast<std::size_t>(got));
    tape.push_back(datagram);
    send_to_b(datagram);
  });
  LinkPlan through_tap = only_one(kA);
  through_tap.links[0].peer_address = "127.1.0.3";
  ASSERT_TRUE(a->configure(through_tap));
  ASSERT_TRUE(b->configure(only_one(kB)));
  ASSERT_TRUE(a->publish({1}));
  ASSERT_TRUE(b->publish({2}));
  until({a.get(), b.get()},
        [&] { return health(*b, kOne, kA) == Health::Up && health(*a, kOne, kB) == Health::Up; });
  a.reset();
  until({b.get()}, [&] { return health(*b, kOne, kA) == Health::Down; });
  ASSERT_GT(tape.size(), 2U);
  const auto before = b->state(kOne, kA).heard;
  const auto replay = [&] {
    for (const Bytes& datagram : std::vector<Bytes>{tape}) send_to_b(datagram);
    loop.after(milliseconds{100}, [&] { loop.stop(); });
    loop.run();
  };
  replay();
  EXPECT_EQ(b->state(kOne, kA).heard, before);
  b = make(kB);  // and a new life of b
  ASSERT_TRUE(b->configure(only_one(kB)));
  ASSERT_TRUE(b->publish({2}));
  replay();
  EXPECT_EQ(b->state(kOne, kA).heard, std::nullopt);
}

}  // namespace
}  // namespace safekit::heartbeat
