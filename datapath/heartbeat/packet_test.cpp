#include "datapath/heartbeat/packet.h"

#include <gtest/gtest.h>

#include <set>

#include "schema/fake/seeded_random.h"

namespace safekit::heartbeat {
namespace {

const LanName kLan{"default"};
const LanName kOtherLan{"private"};

Challenge challenge(std::uint8_t n) {
  return {n};
}
SessionId session(std::uint8_t n) {
  return {n, n};
}

TEST(HeartbeatPacket, GoesToBytesAndBack) {
  const Header header{.sender = sender_id(NodeName{"node1"}), .session = session(7), .counter = 1234567};
  Bytes bytes(kHeaderBytes + kBodyBytes + 3 + kTagBytes);
  encode_header(header, std::span{bytes}.first<kHeaderBytes>());
  const Bytes payload{1, 2, 3};
  const Body body{
      .challenge = challenge(1), .echo = challenge(2), .have = 3, .payload_number = 4, .payload = payload};
  ASSERT_EQ(encode_body(body, std::span{bytes}.subspan(kHeaderBytes)), kBodyBytes + 3);
  EXPECT_EQ(decode_header(bytes), header);
  const auto read = decode_body(BytesView{bytes}.subspan(kHeaderBytes, kBodyBytes + 3));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->challenge, body.challenge);
  EXPECT_EQ(read->echo, body.echo);
  EXPECT_EQ(read->have, 3U);
  EXPECT_EQ(read->payload_number, 4U);
  EXPECT_TRUE(std::ranges::equal(read->payload, payload));
}

TEST(HeartbeatPacket, HasTheLayoutOfTheDocument) {
  Bytes bytes(kHeaderBytes);
  encode_header({.sender = 0x0102030405060708, .session = session(9), .counter = 0x1122},
                std::span{bytes}.first<kHeaderBytes>());
  EXPECT_EQ(bytes, (Bytes{'S', 'K', 'H', 'B', 1, 0, 0, 0, 8, 7, 6, 5, 4,    3,    2, 1, 9, 9, 0, 0,
                          0,   0,   0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0x22, 0x11, 0, 0, 0, 0, 0, 0}));
}

TEST(HeartbeatPacket, RefusesWhatIsShortLongOrForeign) {
  Bytes bytes(kHeaderBytes + kBodyBytes + kTagBytes);
  encode_header({}, std::span{bytes}.first<kHeaderBytes>());
  ASSERT_TRUE(decode_header(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_header(BytesView{bytes}.first(size)));
  for (std::size_t i = 0; i < 5; ++i) {
    Bytes changed = bytes;
    changed[i] ^= 1;
    EXPECT_FALSE(decode_header(changed));
  }
  EXPECT_FALSE(decode_header(Bytes(kDatagramBytesMax + 1)));
  for (std::size_t size = 0; size < kBodyBytes; ++size) EXPECT_FALSE(decode_body(Bytes(size)));
  EXPECT_FALSE(decode_body(Bytes(kBodyBytes + kPayloadBytesMax + 1)));
}

TEST(HeartbeatPacket, KeysDifferForEachSessionDirectionAndNetwork) {
  const NodeName a{"a"}, b{"b"}, ab{"ab"}, empty{};
  const std::set<std::string> purposes{
      key_purpose(session(1), a, b, kLan), key_purpose(session(2), a, b, kLan),
      key_purpose(session(1), b, a, kLan), key_purpose(session(1), a, b, kOtherLan),
      key_purpose(session(1), ab, empty, kLan)};
  EXPECT_EQ(purposes.size(), 5U);
}

TEST(ReplayWindow, AcceptsEachCounterOnceInAnyOrderWithinItsWidth) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    fake::SeededRandom random{seed};
    ReplayWindow window;
    std::set<std::uint64_t> seen;
    std::uint64_t highest = 0;
    std::uint64_t around = random.u64() % 5000;
    for (int step = 0; step < 5000; ++step) {
      if (random.u64() % 4 == 0) around += random.u64() % (random.u64() % 100 == 0 ? 5000 : 40);
      const std::uint64_t counter = around - std::min(around, random.u64() % 1500);
      const bool old = !seen.empty() && counter + ReplayWindow::kWidth <= highest;
      EXPECT_EQ(window.accept(counter), !old && !seen.contains(counter))
          << "seed " << seed << " counter " << counter;
      seen.insert(counter);
      highest = std::max(highest, counter);
    }
  }
}

TEST(ReplayWindow, HoldsAtBothEndsOfTheNumbers) {
  ReplayWindow window;
  EXPECT_TRUE(window.accept(0));
  EXPECT_FALSE(window.accept(0));
  EXPECT_TRUE(window.accept(UINT64_MAX));
  EXPECT_FALSE(window.accept(UINT64_MAX));
  EXPECT_TRUE(window.accept(UINT64_MAX - 1023));
  EXPECT_FALSE(window.accept(UINT64_MAX - 1024));
}

/// One end, as the service uses it.
struct End {
  PeerSession peer;
  SessionId session;
  std::uint64_t counter{0};
  std::pair<Header, Body> packet() {
    return {{.session = session, .counter = ++counter}, {.challenge = peer.challenge(), .echo = peer.echo()}};
  }
  std::uint8_t next{100};
  Verdict hear(const std::pair<Header, Body>& packet, const LanName& lan = kLan) {
    return peer.judge(packet.first, lan, packet.second, Challenge{++next, session[0]});
  }
};
End fresh_end(std::uint8_t n) {
  return {.peer = PeerSession{challenge(n)}, .session = session(n)};
}

void meet(End& a, End& b) {
  EXPECT_EQ(b.hear(a.packet()), Verdict::Unproven);
  EXPECT_EQ(a.hear(b.packet()), Verdict::NewSession) << "b's answer echoes a's challenge";
  EXPECT_EQ(b.hear(a.packet()), Verdict::NewSession);
  EXPECT_EQ(a.hear(b.packet()), Verdict::Heard);
  EXPECT_EQ(b.hear(a.packet()), Verdict::Heard);
}

TEST(PeerSession, TwoEndsBelieveEachOtherAfterOneExchange) {
  End a = fresh_end(1), b = fresh_end(2);
  meet(a, b);
}

TEST(PeerSession, ARestartedPeerIsBelievedAgain) {
  End a = fresh_end(1), b = fresh_end(2);
  meet(a, b);
  End b2 = fresh_end(3);
  EXPECT_EQ(a.hear(b2.packet()), Verdict::Unproven);
  EXPECT_EQ(b2.hear(a.packet()), Verdict::Unproven);
  EXPECT_EQ(a.hear(b2.packet()), Verdict::NewSession);
  EXPECT_EQ(b2.hear(a.packet()), Verdict::NewSession);
}

TEST(PeerSession, NothingRecordedIsBelieved) {
  End a = fresh_end(1), b = fresh_end(2);
  std::vector<std::pair<Header, Body>> tape;
  const auto to_a = [&](End& from) {
    tape.push_back(from.packet());
    return a.hear(tape.back());
  };
  (void)b.hear(a.packet());
  (void)to_a(b);
  (void)b.hear(a.packet());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(to_a(b), Verdict::Heard);
  const auto replay_all = [&](End& end) {
    const End before = end;
    for (const auto& packet : tape) {
      const Verdict verdict = end.hear(packet);
      EXPECT_TRUE(verdict == Verdict::Replayed || verdict == Verdict::Unproven);
    }
    if (before.peer.is_accepted(tape.front().first.session)) {
      EXPECT_EQ(end.peer, before.peer);
    }
  };
  replay_all(a);          // its present session
  End b2 = fresh_end(3);  // the peer restarts
  (void)to_a(b2);
  (void)b2.hear(a.packet());
  EXPECT_EQ(to_a(b2), Verdict::NewSession);
  (void)b2.hear(a.packet());
  EXPECT_EQ(to_a(b2), Verdict::Heard);
  replay_all(a);  // packets of the old life, which echo a challenge of this life of a
  EXPECT_EQ(to_a(b2), Verdict::Heard) << "the recording has done no harm";
  End a2 = fresh_end(4);  // this node restarts
  replay_all(a2);
  EXPECT_EQ(a2.hear(b2.packet()), Verdict::Unproven);
  EXPECT_EQ(b2.hear(a2.packet()), Verdict::NewSession);
  EXPECT_EQ(a2.hear(b2.packet()), Verdict::NewSession);
}

TEST(PeerSession, CountsEachNetworkForItself) {
  End a = fresh_end(1), b = fresh_end(2);
  meet(a, b);
  const auto packet = b.packet();
  EXPECT_EQ(a.hear(packet), Verdict::Heard);
  EXPECT_EQ(a.hear(packet), Verdict::Replayed);
  EXPECT_EQ(a.hear(packet, kOtherLan), Verdict::Heard);
}

}  // namespace
}  // namespace safekit::heartbeat
