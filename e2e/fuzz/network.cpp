// What comes from the network before it is known from whom: heartbeats, and answers to who has an address.
#include <algorithm>

#include <fuzzer/FuzzedDataProvider.h>

#include "datapath/heartbeat/packet.h"
#include "datapath/linux/announcement.h"
#include "datapath/linux/bundle.h"
#include "datapath/linux/tls_record.h"
#include "e2e/fuzz/fuzz.h"

namespace safekit::fuzz {
namespace {

void read_heartbeat(BytesView input) {
  if (const auto header = heartbeat::decode_header(input)) {
    std::array<std::uint8_t, heartbeat::kHeaderBytes> again{};
    heartbeat::encode_header(*header, again);
    Bytes whole{again.begin(), again.end()};
    whole.resize(input.size());
    SK_ASSERT(heartbeat::decode_header(whole) == header);
  }
  if (const auto body = heartbeat::decode_body(input)) {
    Bytes again(input.size());
    SK_ASSERT(heartbeat::encode_body(*body, again) == again.size() && std::ranges::equal(again, input));
  }
}

std::vector<Bytes> heartbeats() {
  Bytes packet(heartbeat::kHeaderBytes + heartbeat::kBodyBytes + heartbeat::kTagBytes);
  std::array<std::uint8_t, heartbeat::kHeaderBytes> head{};
  heartbeat::encode_header({.sender = 1, .session = {2}, .counter = 3}, head);
  std::ranges::copy(head, packet.begin());
  Bytes body(heartbeat::kBodyBytes + 3);
  heartbeat::encode_body({.challenge = {1}, .echo = {2}, .have = 3, .payload_number = 4, .payload = as_bytes("abc")}, body);
  return {packet, body};
}

struct Packet {
  std::string lan{};
  heartbeat::Header header{};
  heartbeat::Challenge echo{};
  bool was_believed{false};
};

/// Lives of a sender, each of which counts its packets; whoever listens delays them, loses them and plays them back. None is
/// believed twice.
void play_sessions(BytesView input) {
  FuzzedDataProvider in{input.data(), input.size()};
  heartbeat::PeerSession session{heartbeat::Challenge{}};
  std::array<std::uint64_t, 4> counters{};
  std::vector<heartbeat::Challenge> challenges{session.challenge()};
  std::vector<Packet> sent;
  const auto pick = [&in](std::size_t count) { return in.ConsumeIntegralInRange<std::size_t>(0, count - 1); };
  while (in.remaining_bytes() > 0) {
    if (sent.empty() || in.ConsumeBool()) {
      const std::size_t life = pick(counters.size());
      counters[life] += 1 + (in.ConsumeBool() ? in.ConsumeIntegral<std::uint16_t>() : 0);
      sent.push_back({.lan = in.ConsumeBool() ? "a" : "b",
                      .header = {.session = {static_cast<std::uint8_t>(life + 1)}, .counter = counters[life]},
                      .echo = challenges[in.ConsumeBool() ? challenges.size() - 1 : pick(challenges.size())]});
      continue;
    }
    Packet& packet = sent[in.ConsumeBool() ? sent.size() - 1 : pick(sent.size())];
    heartbeat::Challenge next{1};
    next[1] = static_cast<std::uint8_t>(challenges.size());
    next[2] = static_cast<std::uint8_t>(challenges.size() >> 8);
    const auto verdict = session.judge(packet.header, LanName{packet.lan}, {.echo = packet.echo}, next);
    const bool is_new = verdict == heartbeat::Verdict::NewSession;
    if (is_new) {
      SK_ASSERT(packet.echo == challenges.back());
      challenges.push_back(next);
    }
    SK_ASSERT(session.challenge() == challenges.back());
    if (!is_new && verdict != heartbeat::Verdict::Heard) continue;
    SK_ASSERT(session.is_accepted(packet.header.session) && !packet.was_believed);
    packet.was_believed = true;
  }
}

std::vector<Bytes> sessions() {
  Bytes bytes(64);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7);
  return {bytes};
}

/// What the connections of one bundle bring, in any order.
void play_bundle(BytesView input) {
  FuzzedDataProvider in{input.data(), input.size()};
  Bytes bytes = in.ConsumeBytes<std::uint8_t>(bundle::kPlaceBytes);
  bytes.resize(bundle::kPlaceBytes);
  if (const auto place = bundle::decode_place(std::span{bytes}.first<bundle::kPlaceBytes>())) {
    SK_ASSERT(place->index < place->count && place->count <= bundle::kConnectionsMax);
    SK_ASSERT(*bundle::decode_place(bundle::encode(*place)) == *place);
  }
  const auto connections = in.ConsumeIntegralInRange<std::size_t>(1, bundle::kConnectionsMax);
  bundle::PieceOrder order{connections};
  std::array<std::uint64_t, bundle::kConnectionsMax> heads{};
  std::uint64_t next = 1;
  while (in.remaining_bytes() > 0) {
    const auto connection = in.ConsumeIntegralInRange<std::size_t>(0, connections - 1);
    const std::uint64_t number = in.ConsumeBool() ? in.ConsumeIntegral<std::uint64_t>() : in.ConsumeIntegral<std::uint8_t>();
    const auto size = in.ConsumeBool() ? in.ConsumeIntegral<std::uint32_t>() : in.ConsumeIntegral<std::uint8_t>();
    if (order.wants_head(connection)) {
      std::array<std::uint8_t, bundle::kPieceHeadBytes> head{};
      bundle::encode({.number = number, .bytes = size}, head);
      if (!order.note(connection, bundle::decode_head(head))) return;
      heads[connection] = number;
    }
    while (const auto due = order.due()) {
      SK_ASSERT(due->connection < connections && due->bytes > 0 && due->bytes <= bundle::kPieceBytesMax);
      SK_ASSERT(heads[due->connection] == next);
      order.read(in.ConsumeBool() ? due->bytes : 1);
      if (order.wants_head(due->connection)) ++next;
      if (in.remaining_bytes() == 0) return;
    }
  }
}

std::vector<Bytes> bundles() {
  Bytes bytes;
  for (const std::uint8_t byte : bundle::encode(bundle::Place{.bundle = {1}, .count = 2, .index = 1})) bytes.push_back(byte);
  bytes.resize(100, 1);
  return {bytes};
}

/// Records of a connection: anything as the bytes of one, and anything within one that was made with the key.
void read_records(BytesView input) {
  FuzzedDataProvider in{input.data(), input.size()};
  const tls::TrafficSecret secret{in.ConsumeBool() ? linux_os::AeadCipher::Aes128Gcm : linux_os::AeadCipher::ChaCha20Poly1305, {1}};
  tls::RecordKey peer{secret};
  tls::RecordOpener opener{secret};
  Bytes into(tls::RecordOpener::room(tls::kRecordBytesMax));
  while (in.remaining_bytes() > 0) {
    const bool is_made = in.ConsumeBool();
    Bytes record;
    Bytes inner;
    if (is_made) {
      inner = in.ConsumeBytes<std::uint8_t>(in.ConsumeIntegralInRange<std::size_t>(0, 64));
      inner.push_back(in.ConsumeIntegralInRange<std::uint8_t>(0, 24));
      record.resize(inner.size() - 1 + tls::kRecordCost);
      peer.seal(BytesView{inner}.first(inner.size() - 1), inner.back(), record);
    } else {
      record = in.ConsumeBytes<std::uint8_t>(in.ConsumeIntegralInRange<std::size_t>(0, tls::kRecordBytesMax));
    }
    const auto size = tls::RecordOpener::find(record);
    if (!size || !*size) return;
    SK_ASSERT(**size <= record.size() && tls::RecordOpener::room(**size) <= into.size());
    const auto content = opener.open(BytesView{record}.first(**size), into);
    if (!content) return;
    SK_ASSERT(is_made);  // nobody makes one without the key
    while (inner.back() == 0) inner.pop_back();
    if (inner.back() == 22) {
      SK_ASSERT(*content == 0);
      peer.change();
    } else {
      SK_ASSERT(inner.back() == 23 && std::ranges::equal(BytesView{into}.first(*content), BytesView{inner}.first(inner.size() - 1)));
    }
  }
}

std::vector<Bytes> records() {
  return {Bytes(40, 0), Bytes(40, 1), Bytes(200, 23)};
}

const IpAddress kAddresses[] = {*parse_ip("192.0.2.7"), *parse_ip("2001:db8::1:2")};

/// The first byte picks the address.
void read_announcement(BytesView input) {
  if (input.empty()) return;
  const IpAddress& address = kAddresses[input[0] % 2];
  const bool shows = linux_os::shows_other_owner(address, {1}, {2}, input.subspan(1));
  SK_ASSERT(!shows || input.size() > 28);
  SK_ASSERT(!linux_os::shows_other_owner(address, {1}, {1}, input.subspan(1)));
}

std::vector<Bytes> announcements() {
  std::vector<Bytes> seeds;
  for (std::uint8_t i = 0; i < 2; ++i) {
    seeds.push_back(seed(i, linux_os::announcement_of(kAddresses[i], {2}).payload));
    seeds.push_back(seed(i, linux_os::question_about(kAddresses[i], {2}).payload));
  }
  return seeds;
}

constexpr std::array kParsers{
    Parser{.name = "heartbeat", .bytes_max = 256, .read = read_heartbeat, .seeds = heartbeats},
    Parser{.name = "session", .bytes_max = 1024, .read = play_sessions, .seeds = sessions},
    Parser{.name = "bundle", .bytes_max = 512, .read = play_bundle, .seeds = bundles},
    Parser{.name = "records", .bytes_max = 512, .read = read_records, .seeds = records},
    Parser{.name = "announcement", .bytes_max = 128, .read = read_announcement, .seeds = announcements},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
