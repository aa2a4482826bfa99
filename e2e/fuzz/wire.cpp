// What a replica reads from its peer's replica.
#include <algorithm>

#include "datapath/wire/message.h"
#include "datapath/wire/one_of_each.h"
#include "datapath/wire/packing.h"
#include "e2e/fuzz/fuzz.h"
#include "schema/base/digest.h"

namespace safekit::fuzz {
namespace {

BytesView payload_of(const Bytes& frame) {
  return BytesView{frame}.subspan(wire::kFrameHeadBytes, frame.size() - wire::kFrameHeadBytes - wire::kFrameTailBytes);
}

/// What the names in a message lead to is not looked at again.
template <class Part>
void check_names(const Part& part) {
  if constexpr (requires { part.at.path; }) SK_ASSERT(wire::is_plain_path(part.at.path));
  if constexpr (requires { part.parent; part.name; }) SK_ASSERT(wire::is_plain_name(part.name));
  if constexpr (requires { part.new_name; }) SK_ASSERT(wire::is_plain_name(part.new_name));
  if constexpr (std::is_same_v<Part, wire::Operation>) std::visit([](const auto& operation) { check_names(operation); }, part);
  if constexpr (std::is_same_v<Part, wire::Listing>) {
    for (const auto& entry : part.entries) SK_ASSERT(wire::is_plain_name(entry.name));
  }
  if constexpr (std::is_same_v<Part, wire::VerifyNames>) {
    for (const auto& entry : part.entries) SK_ASSERT(wire::is_plain_name(entry.first));
  }
  if constexpr (std::is_same_v<Part, wire::VerifyAnswer>) {
    for (const auto& entry : part.names) SK_ASSERT(wire::is_plain_name(entry.first));
  }
  if constexpr (std::is_same_v<Part, wire::Active>) {
    for (const auto& entry : part.entries) {
      check_names(entry);
      for (const std::string& name : entry.trees) SK_ASSERT(wire::is_plain_name(name));
    }
  }
}

void read_payload(wire::FrameType type, BytesView payload) {
  BytesView data;
  const auto message = wire::decode({.type = type, .payload = payload}, data);
  if (!message) return;
  SK_ASSERT(wire::type_of(*message) == type);
  std::visit([](const auto& part) { check_names(part); }, *message);
  Bytes again;
  wire::append_message(again, *message, data);
  BytesView back_data;
  const auto back = wire::decode({.type = type, .payload = payload_of(again)}, back_data);
  SK_ASSERT(back && *back == *message && std::ranges::equal(back_data, data));
}

void read_message(BytesView input) {
  if (input.empty() || !wire::is_known(input[0])) return;
  read_payload(static_cast<wire::FrameType>(input[0]), input.subspan(1));
}

/// With right checksums, or nothing would get past them. Whether all are plain.
bool seal_frames(Bytes& stream) {
  bool plain = true;
  constexpr std::size_t kAroundBytes = wire::kFrameHeadBytes + wire::kFrameTailBytes;
  for (std::size_t at = 0; stream.size() - at >= kAroundBytes;) {
    const std::size_t payload = ByteReader{BytesView{stream}.subspan(at)}.u32();
    if (payload > stream.size() - at - kAroundBytes) return plain;
    plain = plain && stream[at + 5] == static_cast<std::uint8_t>(wire::Form::Plain);
    const std::size_t tail = at + wire::kFrameHeadBytes + payload;
    put_u32(stream, tail, checksum32(BytesView{stream}.subspan(at, tail - at)));
    at = tail + wire::kFrameTailBytes;
  }
  return plain;
}

/// The first byte says in what pieces the stream comes.
void read_stream(BytesView input) {
  if (input.empty()) return;
  Bytes stream{input.begin() + 1, input.end()};
  const bool plain = seal_frames(stream);
  wire::FrameReader reader;
  Bytes again;
  for (std::size_t at = 0; at < stream.size();) {
    const BytesView piece = BytesView{stream}.subspan(at, std::min<std::size_t>(1 + input[0], stream.size() - at));
    std::ranges::copy(piece, reader.space(piece.size()).begin());
    reader.commit(piece.size());
    at += piece.size();
    for (;;) {
      const auto frame = reader.next();
      if (!frame) return;
      if (!*frame) break;
      wire::append_frame(again, (*frame)->type, (*frame)->payload);
      read_payload((*frame)->type, (*frame)->payload);
    }
  }
  SK_ASSERT(!plain || std::ranges::equal(again, BytesView{stream}.first(again.size())));
}

std::vector<Bytes> messages() {
  std::vector<Bytes> seeds;
  for (const wire::Message& message : wire::one_of_each()) {
    Bytes frame;
    wire::append_message(frame, message, wire::data_of(message));
    seeds.push_back(seed(static_cast<std::uint8_t>(wire::type_of(message)), payload_of(frame)));
  }
  return seeds;
}

std::vector<Bytes> streams() {
  std::vector<Bytes> seeds;
  Bytes all;
  for (const wire::Message& message : wire::one_of_each()) {
    Bytes frame;
    wire::append_message(frame, message, wire::data_of(message));
    wire::append_message(all, message, wire::data_of(message));
    seeds.push_back(seed(UINT8_MAX, frame));
  }
  seeds.push_back(seed(10, all));
  Bytes frame;
  wire::append_frame(frame, wire::FrameType::Refuse, Bytes(2000, 'a'));
  Bytes packed;
  SK_ASSERT(wire::append_packed(packed, frame));
  seeds.push_back(seed(UINT8_MAX, packed));
  return seeds;
}

void read_packed(BytesView input) {
  Bytes unpacked;
  if (wire::unpack(input, unpacked)) SK_ASSERT(unpacked.size() <= wire::kFramePayloadBytesMax);
}

std::vector<Bytes> packed() {
  std::vector<Bytes> seeds;
  for (const std::size_t size : {wire::kPackBytesMin, std::size_t{20'000}}) {
    Bytes frame;
    wire::append_frame(frame, wire::FrameType::InodeState, Bytes(size, 7));
    Bytes small;
    if (wire::append_packed(small, frame)) seeds.emplace_back(payload_of(small).begin(), payload_of(small).end());
  }
  return seeds;
}

constexpr std::array kParsers{
    Parser{.name = "packed", .bytes_max = 1024, .read = read_packed, .seeds = packed},
    Parser{.name = "message", .bytes_max = 4096, .read = read_message, .seeds = messages},
    Parser{.name = "stream", .bytes_max = 8192, .read = read_stream, .seeds = streams},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
