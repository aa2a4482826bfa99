#include "datapath/wire/frame.h"

#include <cstring>

#include "datapath/wire/packing.h"
#include "schema/base/digest.h"

namespace safekit::wire {

namespace {

void put_u32(std::uint8_t* out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t read_u32(const std::uint8_t* in) {
  return static_cast<std::uint32_t>(in[0]) | static_cast<std::uint32_t>(in[1]) << 8 |
         static_cast<std::uint32_t>(in[2]) << 16 | static_cast<std::uint32_t>(in[3]) << 24;
}

}  // namespace

bool is_known(std::uint8_t type) {
  return (type >= 1 && type <= 5) || (type >= 10 && type <= 22) || (type >= 30 && type <= 39);
}

bool is_sequenced(FrameType type) {
  const auto number = static_cast<std::uint8_t>(type);
  return number >= 10 && number < 30;
}

void append_frame(Bytes& out, FrameType type, BytesView head, BytesView data, Form form) {
  const std::size_t start = out.size();
  const std::size_t payload = head.size() + data.size();
  SK_ASSERT(payload <= kFramePayloadBytesMax);
  std::array<std::uint8_t, kFrameHeadBytes> prefix{};
  put_u32(prefix.data(), static_cast<std::uint32_t>(payload));
  prefix[4] = static_cast<std::uint8_t>(type);
  prefix[5] = static_cast<std::uint8_t>(form);
  out.insert(out.end(), prefix.begin(), prefix.end());
  out.insert(out.end(), head.begin(), head.end());
  out.insert(out.end(), data.begin(), data.end());
  std::array<std::uint8_t, kFrameTailBytes> tail{};
  put_u32(tail.data(), checksum32(BytesView{out}.subspan(start)));
  out.insert(out.end(), tail.begin(), tail.end());
}

std::span<std::uint8_t> FrameReader::space(std::size_t bytes) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < bytes && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    // So that of what comes little is moved.
    if (end_ > buffer_.size() / 4) buffer_.resize(buffer_.size() * 2);
  }
  if (buffer_.size() - end_ < bytes) buffer_.resize(end_ + bytes);
  return std::span{buffer_}.subspan(end_);
}

void FrameReader::commit(std::size_t bytes) {
  SK_ASSERT(bytes <= buffer_.size() - end_);
  end_ += bytes;
}

Result<std::optional<FrameView>> FrameReader::next() {
  const BytesView held = BytesView{buffer_}.subspan(begin_, end_ - begin_);
  if (held.size() < kFrameHeadBytes) return std::optional<FrameView>{};
  const std::size_t payload = read_u32(held.data());
  if (payload > kFramePayloadBytesMax) {
    return Error{Code::Corrupt, fmt::format("frame of {} bytes is longer than the limit", payload)};
  }
  if (!is_known(held[4]) || held[5] > static_cast<std::uint8_t>(Form::Packed) || held[6] != 0 || held[7] != 0) {
    return Error{Code::Corrupt, fmt::format("frame of unknown type {}", held[4])};
  }
  const std::size_t whole = kFrameHeadBytes + payload + kFrameTailBytes;
  if (held.size() < whole) return std::optional<FrameView>{};
  if (checksum32(held.first(kFrameHeadBytes + payload)) != read_u32(held.data() + kFrameHeadBytes + payload)) {
    return Error{Code::Corrupt, "frame with a wrong checksum"};
  }
  begin_ += whole;
  FrameView frame{.type = static_cast<FrameType>(held[4]), .payload = held.subspan(kFrameHeadBytes, payload)};
  if (held[5] == static_cast<std::uint8_t>(Form::Packed)) {
    SK_TRY_VOID(unpack(frame.payload, unpacked_));
    frame.payload = unpacked_;
  }
  return std::optional{frame};
}

/// By the heads alone; what is wrong with a frame `next` finds.
std::optional<std::uint64_t> FrameReader::sequenced_before(FrameType type) const {
  std::optional<std::uint64_t> before;
  std::uint64_t count = 0;
  for (std::size_t at = begin_; end_ - at >= kFrameHeadBytes;) {
    const std::size_t payload = read_u32(buffer_.data() + at);
    if (payload > kFramePayloadBytesMax || end_ - at < kFrameHeadBytes + payload + kFrameTailBytes) break;
    const auto found = static_cast<FrameType>(buffer_[at + 4]);
    if (found == type) before = count;
    if (is_sequenced(found)) ++count;
    at += kFrameHeadBytes + payload + kFrameTailBytes;
  }
  return before;
}

}  // namespace safekit::wire
