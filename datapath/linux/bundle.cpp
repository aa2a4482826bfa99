#include "datapath/linux/bundle.h"

#include <algorithm>

namespace safekit::bundle {

namespace {

constexpr std::array<std::uint8_t, 4> kMagic{'S', 'K', 'B', 'N'};

}  // namespace

std::array<std::uint8_t, kPlaceBytes> encode(const Place& place) {
  std::array<std::uint8_t, kPlaceBytes> bytes{};
  std::ranges::copy(kMagic, bytes.begin());
  bytes[4] = place.count;
  bytes[5] = place.index;
  std::ranges::copy(place.bundle, bytes.begin() + 8);
  return bytes;
}

Result<Place> decode_place(std::span<const std::uint8_t, kPlaceBytes> bytes) {
  Place place{.count = bytes[4], .index = bytes[5]};
  std::ranges::copy(bytes.subspan<8>(), place.bundle.begin());
  if (!std::ranges::equal(bytes.first<4>(), kMagic) || place.count > kConnectionsMax || place.index >= place.count) {
    return Error{Code::Corrupt, "a connection that does not say what it is part of"};
  }
  return place;
}

void encode(const PieceHead& head, std::span<std::uint8_t, kPieceHeadBytes> into) {
  for (std::size_t i = 0; i < 8; ++i) into[i] = static_cast<std::uint8_t>(head.number >> (8 * i));
  for (std::size_t i = 0; i < 4; ++i) into[8 + i] = static_cast<std::uint8_t>(head.bytes >> (8 * i));
}

PieceHead decode_head(std::span<const std::uint8_t, kPieceHeadBytes> bytes) {
  ByteReader in{bytes};
  PieceHead head;
  head.number = in.u64();
  head.bytes = in.u32();
  return head;
}

Status PieceOrder::note(std::size_t connection, const PieceHead& head) {
  SK_ASSERT(wants_head(connection));
  if (head.bytes == 0 || head.bytes > kPieceBytesMax) return Error{Code::Corrupt, "a piece of the stream with a wrong length"};
  const bool is_twice = std::ranges::any_of(heads_, [&](const auto& other) { return other && other->number == head.number; });
  if (head.number < next_ || is_twice) return Error{Code::Corrupt, "a piece of the stream came twice"};
  heads_[connection] = head;
  if (head.number == next_) due_ = connection;
  if (!due_ && std::ranges::all_of(heads_, [](const auto& each) { return each.has_value(); })) {
    return Error{Code::Corrupt, "a piece of the stream is missing"};
  }
  return {};
}

std::optional<PieceOrder::Due> PieceOrder::due() const {
  if (!due_) return {};
  return Due{*due_, heads_[*due_]->bytes};
}

void PieceOrder::read(std::size_t bytes) {
  SK_ASSERT(due_ && bytes <= heads_[*due_]->bytes);
  heads_[*due_]->bytes -= static_cast<std::uint32_t>(bytes);
  if (heads_[*due_]->bytes > 0) return;
  heads_[*due_].reset();
  ++next_;
  find_due();
}

void PieceOrder::find_due() {
  due_.reset();
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    if (heads_[i] && heads_[i]->number == next_) due_ = i;
  }
}

std::optional<std::size_t> choose(std::span<const std::optional<std::uint64_t>> unconfirmed) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < unconfirmed.size(); ++i) {
    if (unconfirmed[i] && (!best || *unconfirmed[i] < *unconfirmed[*best])) best = i;
  }
  return best;
}

}  // namespace safekit::bundle
