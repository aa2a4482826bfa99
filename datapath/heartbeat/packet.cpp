#include "datapath/heartbeat/packet.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "schema/base/digest.h"
#include "schema/base/result.h"

namespace safekit::heartbeat {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic{'S', 'K', 'H', 'B'};
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kVersionAt = 4;  // then three zeros
constexpr std::size_t kSenderAt = 8;
constexpr std::size_t kSessionAt = 16;
constexpr std::size_t kCounterAt = 32;
static_assert(kCounterAt + sizeof(std::uint64_t) == kHeaderBytes);

constexpr std::size_t kChallengeAt = 0;
constexpr std::size_t kEchoAt = 16;
constexpr std::size_t kHaveAt = 32;
constexpr std::size_t kNumberAt = 40;
static_assert(kNumberAt + sizeof(std::uint64_t) == kBodyBytes);

// Not ByteWriter: the heartbeat thread allocates nothing.
void put_u64(std::span<std::uint8_t> out, std::size_t at, std::uint64_t value) {
  for (std::size_t i = 0; i < 8; ++i) out[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}
std::uint64_t u64_at(BytesView bytes, std::size_t at) {
  return ByteReader{bytes.subspan(at, 8)}.u64();
}

template <std::size_t N>
std::array<std::uint8_t, N> array_at(BytesView bytes, std::size_t at) {
  std::array<std::uint8_t, N> value{};
  std::ranges::copy(bytes.subspan(at, N), value.begin());
  return value;
}

}  // namespace

std::uint64_t sender_id(const NodeName& node) {
  return digest128(as_bytes(node.str())).low;
}

std::string key_purpose(const SessionId& session, const NodeName& from, const NodeName& to,
                        const LanName& lan) {
  // Lengths keep ("ab", "c") and ("a", "bc") apart.
  return fmt::format("heartbeat 1 {:02x} {}:{} {}:{} {}:{}", fmt::join(session, ""), from.str().size(),
                     from.str(), to.str().size(), to.str(), lan.str().size(), lan.str());
}

std::array<std::uint8_t, 12> nonce_of(std::uint64_t counter) {
  std::array<std::uint8_t, 12> nonce{};
  put_u64(nonce, 0, counter);
  return nonce;
}

void encode_header(const Header& header, std::span<std::uint8_t, kHeaderBytes> out) {
  std::ranges::fill(out, std::uint8_t{0});
  std::ranges::copy(kMagic, out.begin());
  out[kVersionAt] = kVersion;
  put_u64(out, kSenderAt, header.sender);
  std::ranges::copy(header.session, out.begin() + kSessionAt);
  put_u64(out, kCounterAt, header.counter);
}

std::optional<Header> decode_header(BytesView datagram) {
  if (datagram.size() < kHeaderBytes + kBodyBytes + kTagBytes || datagram.size() > kDatagramBytesMax)
    return {};
  if (!std::ranges::equal(datagram.first(kMagic.size()), kMagic) || datagram[kVersionAt] != kVersion)
    return {};
  return Header{.sender = u64_at(datagram, kSenderAt),
                .session = array_at<16>(datagram, kSessionAt),
                .counter = u64_at(datagram, kCounterAt)};
}

std::size_t encode_body(const Body& body, std::span<std::uint8_t> out) {
  SK_ASSERT(body.payload.size() <= kPayloadBytesMax && out.size() >= kBodyBytes + body.payload.size());
  std::ranges::copy(body.challenge, out.begin() + kChallengeAt);
  std::ranges::copy(body.echo, out.begin() + kEchoAt);
  put_u64(out, kHaveAt, body.have);
  put_u64(out, kNumberAt, body.payload_number);
  std::ranges::copy(body.payload, out.begin() + kBodyBytes);
  return kBodyBytes + body.payload.size();
}

std::optional<Body> decode_body(BytesView plain) {
  if (plain.size() < kBodyBytes || plain.size() > kBodyBytes + kPayloadBytesMax) return {};
  return Body{.challenge = array_at<16>(plain, kChallengeAt),
              .echo = array_at<16>(plain, kEchoAt),
              .have = u64_at(plain, kHaveAt),
              .payload_number = u64_at(plain, kNumberAt),
              .payload = plain.subspan(kBodyBytes)};
}

bool ReplayWindow::accept(std::uint64_t counter) {
  if (counter < floor_) return false;
  const auto bit = [this](std::uint64_t number) -> std::pair<std::uint64_t&, std::uint64_t> {
    return {seen_[number % kWidth / 64], std::uint64_t{1} << (number % 64)};
  };
  if (!any_ || counter > highest_) {
    if (!any_ || counter - highest_ >= kWidth) {
      seen_.fill(0);
    } else {  // the places of the skipped ones held counters that are too old now
      for (std::uint64_t skipped = highest_ + 1; skipped < counter; ++skipped) {
        const auto [word, mask] = bit(skipped);
        word &= ~mask;
      }
    }
    any_ = true;
    highest_ = counter;
    const auto [word, mask] = bit(counter);
    word |= mask;
    return true;
  }
  if (highest_ - counter >= kWidth) return false;
  const auto [word, mask] = bit(counter);
  if ((word & mask) != 0) return false;
  word |= mask;
  return true;
}

Verdict PeerSession::judge(const Header& header, const LanName& lan, const Body& body,
                           const Challenge& next) {
  if (accepted_ == header.session) {
    if (!windows_.try_emplace(lan, first_counter_).first->second.accept(header.counter))
      return Verdict::Replayed;
    theirs_ = body.challenge;
    return Verdict::Heard;
  }
  if (body.echo != mine_) {
    if (!accepted_) theirs_ = body.challenge;
    return Verdict::Unproven;
  }
  accepted_ = header.session;
  mine_ = next;
  theirs_ = body.challenge;
  first_counter_ = header.counter;
  windows_.clear();
  SK_ASSERT(windows_.try_emplace(lan, first_counter_).first->second.accept(header.counter));
  return Verdict::NewSession;
}

}  // namespace safekit::heartbeat
