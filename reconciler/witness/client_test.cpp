#include "reconciler/witness/client.h"

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/linux/ports.h"
#include "reconciler/api/sockets.h"
#include "reconciler/witness/door.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/memory_files.h"
#include "schema/fake/seeded_random.h"

namespace safekit::witness {
namespace {

constexpr const char* kSecret = "0123456789abcdef0123456789abcdef";

/// A witness and who asks it, each of them real, in one process.
class ClientTest : public testing::Test {
 protected:
  void SetUp() override { reopen(LeaseService::Before::Nothing); }

  void reopen(LeaseService::Before before, bool tls = true) {
    door.reset();
    service = std::make_unique<LeaseService>(LeaseService::Ports{files, clock, random}, "/leases");
    ASSERT_TRUE(service->open(before).has_value());
    door = std::make_unique<WitnessDoor>(*service, ports.crypto,
                                         WitnessDoor::Options{.host = "127.0.0.1", .port = 0, .secret = kSecret, .tls = tls});
    const Status open = door->open(identity);
    ASSERT_TRUE(open.has_value()) << open.error().what;
  }
  Identity make_node() {
    Identity request = ports.crypto.make_request("node3").value();
    return {.key_pem = request.key_pem,
            .certificate_pem = ports.crypto.sign_request(authority, request.certificate_pem, "node3", 10).value()};
  }
  std::string url(const std::string& scheme = "https", const std::string& secret = kSecret) {
    return fmt::format("{}://127.0.0.1:{}/{}{}", scheme, door->port(), secret, fingerprint);
  }
  LeaseAsk ask_of(const std::string& holder, const std::string& address, const std::string& id = {}) {
    return {.place = {.kind = WitnessPlace::Kind::Http, .addresses = {address}}, .name = "m", .holder = holder, .id = id, .length = seconds{10}};
  }
  Result<LeaseReply> acquire(const LeaseAsk& ask, Duration limit = seconds{20}) {
    std::optional<Result<LeaseReply>> got;
    client.acquire(ask, limit, [&](Result<LeaseReply> reply) {
      got = std::move(reply);
      ports.loop.stop();
    });
    EXPECT_FALSE(got.has_value()) << "not inside the call";
    ports.loop.run();
    return std::move(*got);
  }
  Status probe(const WitnessPlace& place, Duration limit = seconds{20}) {
    std::optional<Status> got;
    client.probe(place, limit, [&](const Status& status) {
      got = status;
      ports.loop.stop();
    });
    ports.loop.run();
    return *got;
  }

  linux_os::Ports ports{};
  fake::ManualClock clock{};
  fake::MemoryFiles files{};
  fake::SeededRandom random{1};
  Identity authority{ports.crypto.make_authority("cluster", 10).value()};
  Identity identity{make_node()};
  std::string fingerprint{ports.crypto.fingerprint(identity.certificate_pem).value().substr(0, 32)};
  std::unique_ptr<LeaseService> service{};
  std::unique_ptr<WitnessDoor> door{};
  std::vector<std::string> nodes_asked{};
  RemoteWitness client{ports.loop, [this](const std::string& name) -> Result<RemoteWitness::NodeAccess> {
                         nodes_asked.push_back(name);
                         return RemoteWitness::NodeAccess{.addresses = {"127.0.0.1"}, .port = door->port(), .token = kSecret,
                                                          .authority_pem = authority.certificate_pem};
                       }};
};

TEST_F(ClientTest, GrantsRefusesAndRenews) {
  const auto a = acquire(ask_of("a", url()));
  ASSERT_TRUE(a.has_value()) << a.error().what;
  EXPECT_TRUE(a->granted && a->length == seconds{10}) << a->detail;
  const auto b = acquire(ask_of("b", url()));
  ASSERT_TRUE(b.has_value()) << b.error().what;
  EXPECT_EQ(b->holder, "a");
  clock.advance(seconds{9});
  EXPECT_EQ(acquire(ask_of("a", url(), a->id))->id, a->id);
  clock.advance(seconds{9});
  EXPECT_FALSE(acquire(ask_of("b", url()))->granted);
  client.release(ask_of("a", url(), a->id), seconds{20}, [this](const Status& status) {
    EXPECT_TRUE(status.has_value());
    ports.loop.stop();
  });
  ports.loop.run();
  EXPECT_TRUE(acquire(ask_of("b", url()))->granted);
}

TEST_F(ClientTest, ALeaseIsOnDiskBeforeItIsGranted) {
  const std::string before = files.entries.at("/leases").text;
  EXPECT_TRUE(acquire(ask_of("a", url()))->granted);
  EXPECT_NE(files.entries.at("/leases").text, before);
  reopen(LeaseService::Before::Unknown);
  EXPECT_EQ(acquire(ask_of("b", url()))->holder, "a");
  files.entries.at("/leases").text += "x";
  reopen(LeaseService::Before::Unknown);
  const auto closed = acquire(ask_of("a", url()));
  ASSERT_TRUE(closed.has_value()) << closed.error().what;
  EXPECT_EQ(closed->detail, "the witness has lost its file, and grants nothing for up to a minute");
}

TEST_F(ClientTest, AWitnessThatWaitedForWhatItForgotWaitsOnce) {
  const api::Request probe_request{.path = "/apis/safekit/v1/witness"};
  files.entries.clear();
  reopen(LeaseService::Before::Unknown);
  clock.advance(LeaseBook::kLongest - Duration{1});
  (void)service->answer(probe_request);
  EXPECT_TRUE(files.entries.empty());
  clock.advance(Duration{1});
  (void)service->answer(probe_request);
  reopen(LeaseService::Before::Unknown);
  EXPECT_TRUE(acquire(ask_of("a", url()))->granted);
}

TEST_F(ClientTest, ByPlainHttpAndAsAnotherNode) {
  const Status probed = probe({.kind = WitnessPlace::Kind::Node, .addresses = {"node3"}});
  EXPECT_TRUE(probed.has_value()) << probed.error().what;
  EXPECT_EQ(nodes_asked, std::vector<std::string>{"node3"});
  EXPECT_FALSE(probe({.kind = WitnessPlace::Kind::Node, .addresses = {"node1"}}).has_value());  // another one answers there
  authority = ports.crypto.make_authority("another cluster", 10).value();
  EXPECT_FALSE(probe({.kind = WitnessPlace::Kind::Node, .addresses = {"node3"}}).has_value());
  reopen(LeaseService::Before::Unknown, false);
  EXPECT_TRUE(acquire(ask_of("a", url("http")))->granted);
}

TEST_F(ClientTest, WhoDoesNotKnowTheKeyIsRefused) {
  const auto wrong = acquire(ask_of("a", url("https", std::string(32, '0'))));
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().code, Code::Denied);
  EXPECT_EQ(wrong.error().what, "the witness at '127.0.0.1' does not know this key: `safekit witness --show` there prints it");
  fingerprint[0] = fingerprint[0] == '0' ? '1' : '0';
  const auto other = acquire(ask_of("a", url()));
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().code, Code::Denied) << other.error().what;
  EXPECT_EQ(service->answer({.method = api::Method::Get, .path = "/apis/safekit/v1/witness"}).body, R"({"held":0})");
}

TEST_F(ClientTest, AnotherAddressIsTriedWhereOneIsSilent) {
  LeaseAsk ask = ask_of("a", url());
  ask.place.addresses.insert(ask.place.addresses.begin(), fmt::format("https://127.0.0.1:1/{}{}", kSecret, fingerprint));
  const auto reply = acquire(ask);
  ASSERT_TRUE(reply.has_value()) << reply.error().what;
  EXPECT_TRUE(reply->granted);
  ask.place.addresses.pop_back();
  EXPECT_EQ(acquire(ask).error().code, Code::Unavailable);
  ask.place.addresses = {"nonsense"};
  EXPECT_EQ(acquire(ask).error().code, Code::Invalid);
}

TEST_F(ClientTest, AServerThatSaysNothingIsNotWaitedFor) {
  const int listening = api::listen_tcp("127.0.0.1", 0).value();
  for (const std::string scheme : {"http", "https"}) {
    const auto reply = acquire(
        ask_of("a", fmt::format("{}://127.0.0.1:{}/{}{}", scheme, api::port_of(listening), kSecret, fingerprint)), milliseconds{50});
    ASSERT_FALSE(reply.has_value());
    // Which one depends on whose clock ends first, the handshake's or the question's.
    EXPECT_TRUE(reply.error().code == Code::Timeout || reply.error().code == Code::Unavailable) << reply.error().what;
  }
  ::close(listening);
}

TEST_F(ClientTest, ItsEndDoesNotWaitForAServer) {
  const int listening = api::listen_tcp("127.0.0.1", 0).value();
  const auto begun = std::chrono::steady_clock::now();
  {
    RemoteWitness other{ports.loop, {}};
    other.probe({.addresses = {fmt::format("http://127.0.0.1:{}/{}{}", api::port_of(listening), kSecret, fingerprint)}}, seconds{20},
                [](const Status&) { ADD_FAILURE() << "it has gone"; });
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds{15});
  ::close(listening);
}

TEST_F(ClientTest, ADiskThatFailsGrantsNothing) {
  LeaseService full{{files, clock, random}, "/leases"};
  ASSERT_TRUE(full.open(LeaseService::Before::Unknown).has_value());
  files.is_full = true;
  const api::Request request{.method = api::Method::Post, .path = "/apis/safekit/v1/witness/acquire",
                             .body = R"({"name":"m","holder":"a","lengthMs":5000})"};
  EXPECT_EQ(full.answer(request).status, 507);
  EXPECT_EQ(full.answer({.path = "/apis/safekit/v1/witness"}).body, R"({"held":0})");
  LeaseService never_opened{{files, clock, random}, "/leases"};
  EXPECT_EQ(never_opened.answer(request).status, 503);
}

}  // namespace
}  // namespace safekit::witness
