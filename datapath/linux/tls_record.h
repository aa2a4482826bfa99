#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "datapath/linux/aead.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"

/// Records of TLS 1.3 (RFC 8446, 5): what comes after a handshake that OpenSSL has done. On the wire nothing differs from OpenSSL's own
/// records, but those cost 8 us for each one, however small, and two more copies of each byte on each side (OpenSSL 3.0; docs/speed.md).
/// Only what this program's streams use: content, a change of keys, and an alert, which is the end.
namespace safekit::tls {

using linux_os::Aead;
using linux_os::AeadCipher;

constexpr std::size_t kRecordHeadBytes = 5;
constexpr std::size_t kRecordContentMax = 1U << 14;
/// Beside the content: head, type and tag.
constexpr std::size_t kRecordCost = kRecordHeadBytes + 1 + Aead::kTagBytes;
/// Also where a peer puts zeros behind the type (RFC 8446, 5.4).
constexpr std::size_t kRecordBytesMax = kRecordContentMax + kRecordCost;
/// With one key, by RFC 8446, 5.5; then comes the next one.
constexpr std::uint64_t kRecordsOfAKey = 1U << 24;

/// What a handshake leaves for one direction. Both suites that we offer work with SHA-256.
struct TrafficSecret {
  AeadCipher cipher{AeadCipher::Aes128Gcm};
  SecretKey secret{};
  ~TrafficSecret();  ///< leaves nothing in memory
};

/// Keys of one direction, which its sender and its receiver count in the same way (RFC 8446, 5.3, 7.2 and 7.3). A value that moves.
class RecordKey {
 public:
  explicit RecordKey(const TrafficSecret& secret);

  /// The next record; it has content.size() + kRecordCost bytes.
  void seal(BytesView content, std::uint8_t type, std::span<std::uint8_t> record);
  /// `inner` gets content, type and padding of the next record. False: it is not that, and `inner` means nothing.
  [[nodiscard]] bool open(BytesView record, std::span<std::uint8_t> inner);
  [[nodiscard]] std::uint64_t records() const { return records_; }
  void change();

 private:
  AeadNonce next_nonce();

  TrafficSecret secret_{};
  Aead aead_;
  AeadNonce base_{};
  std::uint64_t records_{0};  ///< with this key
};

/// Makes records. Thread: one at a time.
class RecordSealer {
 public:
  explicit RecordSealer(const TrafficSecret& secret, std::uint64_t records_of_a_key = kRecordsOfAKey)
      : key_(secret), records_of_a_key_(records_of_a_key) {}

  /// `change_key`: before the content, as the other side has asked. The records are kept here until the next call.
  [[nodiscard]] BytesView seal(BytesView content, bool change_key = false);

 private:
  void add(BytesView content, std::uint8_t type);
  void change_key();

  RecordKey key_;
  std::uint64_t records_of_a_key_{kRecordsOfAKey};
  Bytes sealed_{};        ///< only grows: filling it with zeros each time would cost as much as a copy
  std::size_t bytes_{0};  ///< of it
};

/// Reads them; they come from the network. Thread: one at a time. Errors: Unavailable, after which nothing can be read any more: what is
/// no record, was changed on the way, or says that the peer ends the connection.
class RecordOpener {
 public:
  explicit RecordOpener(const TrafficSecret& secret) : key_(secret) {}

  /// How long the record is that `received` begins with; nothing: more must come.
  [[nodiscard]] static Result<std::optional<std::size_t>> find(BytesView received);
  /// Room that `open` needs for a record of so many bytes.
  [[nodiscard]] static std::size_t room(std::size_t record) { return record - kRecordHeadBytes - Aead::kTagBytes; }
  /// How much content `into` begins with; none for what is no content. With an error `into` means nothing.
  [[nodiscard]] Result<std::size_t> open(BytesView record, std::span<std::uint8_t> into);
  /// Since the last call: the other side asks that keys are changed here too.
  [[nodiscard]] bool take_request() { return std::exchange(asked_, false); }

 private:
  Status take_handshake(BytesView message);

  RecordKey key_;
  bool asked_{false};
  std::uint32_t without_content_{0};  ///< one after the other
};

}  // namespace safekit::tls
