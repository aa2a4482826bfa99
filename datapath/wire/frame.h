#pragma once

#include <cstdint>
#include <optional>

#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::wire {

/// What this release speaks at most and at least; of two releases the lower maximum counts (docs/wire.md, "Versions").
inline constexpr std::uint32_t kProtocolVersion = 6;
inline constexpr std::uint32_t kProtocolOldest = 3;
inline constexpr std::uint32_t kFirstWithPacked = 4;  ///< that reads packed frames
inline constexpr std::uint32_t kFirstWithPromises = 5;  ///< that knows Question and Promise
inline constexpr std::uint32_t kFirstWithReceipts = 6;  ///< that knows Confirm and Received

/// What a frame holds. Numbers are the protocol: never reused, never renumbered (docs/wire.md).
enum class FrameType : std::uint8_t {
  Hello = 1,       ///< both ways, first
  Refuse = 2,      ///< either way; the connection ends
  Heartbeat = 3,   ///< both ways; nothing else was sent for a while
  Question = 4,    ///< primary to secondary; in no order with the stream
  Confirm = 5,     ///< primary to secondary; about what was sent before it
  Change = 10,       ///< primary to secondary; this and the next ones take one sequence number each
  ResyncBegin = 11,
  Listing = 12,
  InodeState = 13,
  ZoneDigests = 14,
  ResyncEnd = 15,
  Detach = 16,
  SyncAll = 17,
  Checkpoint = 18,
  VerifyNames = 19,
  VerifyState = 20,
  VerifyZones = 21,
  Verified = 22,
  Acknowledge = 30,  ///< secondary to primary
  Durable = 31,
  ListingAnswer = 32,
  ZonesWanted = 33,
  ResyncEndAnswer = 34,
  Failed = 35,
  Active = 36,
  VerifyAnswer = 37,
  Promise = 38,
  Received = 39,
};
[[nodiscard]] bool is_known(std::uint8_t type);
/// Frames of the ordered stream: they take a sequence number, counted from 1 on each connection, the same on both sides.
[[nodiscard]] bool is_sequenced(FrameType type);

enum class Form : std::uint8_t {
  Plain = 0,
  Packed = 1,  ///< the payload is packed (packing.h)
};

/// Layout: u32 payload bytes, u8 type, u8 form, 2 zero bytes, payload, u32 checksum of all before it.
inline constexpr std::size_t kFrameHeadBytes = 8;
inline constexpr std::size_t kFrameTailBytes = 4;
inline constexpr std::size_t kFramePayloadBytesMax = 8U << 20;

/// Appends one frame whose payload is `head` then `data`.
void append_frame(Bytes& out, FrameType type, BytesView head, BytesView data = {}, Form form = Form::Plain);

struct FrameView {
  FrameType type{};
  BytesView payload{};  ///< valid until the reader's next call
};

/// Takes bytes as they come and gives whole frames, unpacked. A value. Errors of `next`: Corrupt (length, type, form or checksum).
class FrameReader {
 public:
  /// Space to receive into; at least `bytes` long. `commit` says how much was filled.
  [[nodiscard]] std::span<std::uint8_t> space(std::size_t bytes);
  void commit(std::size_t bytes);
  /// Nothing while a frame is incomplete.
  Result<std::optional<FrameView>> next();
  /// How many whole frames of the ordered stream are held before the last frame of this type; nothing where there is none.
  [[nodiscard]] std::optional<std::uint64_t> sequenced_before(FrameType type) const;

 private:
  Bytes buffer_{};
  Bytes unpacked_{};
  std::size_t begin_{0};
  std::size_t end_{0};
};

}  // namespace safekit::wire
