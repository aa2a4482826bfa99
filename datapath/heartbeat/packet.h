#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>

#include "schema/base/bytes.h"
#include "schema/base/ids.h"

/// One heartbeat datagram to bytes and back, and the rule that tells a fresh one from a recorded one. Pure.
/// Source: docs/wire.md (heartbeats).
namespace safekit::heartbeat {

using SessionId = std::array<std::uint8_t, 16>;  ///< random, one per life of a sender
using Challenge = std::array<std::uint8_t, 16>;  ///< random, changes with each session that is accepted

inline constexpr std::size_t kHeaderBytes = 40;
inline constexpr std::size_t kBodyBytes = 48;  ///< the body without the payload
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kPayloadBytesMax = 60'000;  ///< with all else it fits into one datagram
inline constexpr std::size_t kDatagramBytesMax = kHeaderBytes + kBodyBytes + kPayloadBytesMax + kTagBytes;

/// In clear, authenticated as associated data. `counter` is the nonce too: never twice in one session.
struct Header {
  std::uint64_t sender{0};  ///< sender_id of its name
  SessionId session{};
  std::uint64_t counter{0};
  friend bool operator==(const Header&, const Header&) = default;
};

/// Sealed. `payload` looks into the caller's memory.
struct Body {
  Challenge challenge{};  ///< of the sender: who echoes it has heard this life of the sender
  Challenge echo{};       ///< the receiver's challenge as the sender last heard it; zeros: none yet
  std::uint64_t have{0};  ///< number of the receiver's payload that the sender holds; 0: none
  std::uint64_t payload_number{
      0};  ///< grows with each new payload of the session; 0: no payload in this packet
  BytesView payload{};
};

[[nodiscard]] std::uint64_t sender_id(const NodeName& node);
/// What the packets of one session in one direction on one network are sealed with is derived for this
/// purpose, so that a packet played back to its sender, to a third node or on another network does not open.
[[nodiscard]] std::string key_purpose(const SessionId& session, const NodeName& from, const NodeName& to,
                                      const LanName& lan);

[[nodiscard]] std::array<std::uint8_t, 12> nonce_of(std::uint64_t counter);

void encode_header(const Header& header, std::span<std::uint8_t, kHeaderBytes> out);
/// Nothing for a datagram that is too short, too long, of another kind or of another version.
[[nodiscard]] std::optional<Header> decode_header(BytesView datagram);
/// Returns the bytes used: kBodyBytes and the payload. `out` must hold them.
std::size_t encode_body(const Body& body, std::span<std::uint8_t> out);
[[nodiscard]] std::optional<Body> decode_body(BytesView plain);

/// Which counters of one session on one network were seen. A value.
class ReplayWindow {
 public:
  static constexpr std::uint64_t kWidth = 1024;
  ReplayWindow() = default;
  /// Counters below `floor` were never heard, and are not to be any more.
  explicit ReplayWindow(std::uint64_t floor) : floor_(floor) {}
  /// False for a counter seen before, or too old to know.
  [[nodiscard]] bool accept(std::uint64_t counter);
  friend bool operator==(const ReplayWindow&, const ReplayWindow&) = default;

 private:
  std::uint64_t floor_{0};
  std::uint64_t highest_{0};
  bool any_{false};
  std::array<std::uint64_t, kWidth / 64> seen_{};
};

/// What a packet that opened means.
enum class Verdict {
  Heard,       ///< of the accepted session and new
  NewSession,  ///< the same, and the first of its session
  Unproven,    ///< of another session, without my present challenge: answer it, so that a living sender can
               ///< prove itself
  Replayed,    ///< seen before
};

/// Which life of one peer is believed. Another session than the accepted one is believed only when the packet
/// echoes my present challenge, and each acceptance changes the challenge: a recorded packet echoes an older
/// one. A value.
class PeerSession {
 public:
  explicit PeerSession(const Challenge& first) : mine_(first) {}
  /// `next` becomes my challenge if this packet makes a session accepted: random, never used before.
  [[nodiscard]] Verdict judge(const Header& header, const LanName& lan, const Body& body,
                              const Challenge& next);
  [[nodiscard]] bool is_accepted(const SessionId& session) const { return accepted_ == session; }
  [[nodiscard]] const Challenge& challenge() const { return mine_; }
  /// What my packets echo: the peer's challenge as last heard of the accepted session, before that of any.
  [[nodiscard]] const Challenge& echo() const { return theirs_; }
  friend bool operator==(const PeerSession&, const PeerSession&) = default;

 private:
  std::optional<SessionId> accepted_{};
  std::uint64_t first_counter_{0};  ///< of the accepted session; a sender counts all its packets in one row
  Challenge mine_;
  Challenge theirs_{};
  std::map<LanName, ReplayWindow> windows_{};
};

}  // namespace safekit::heartbeat
