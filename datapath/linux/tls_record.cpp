#include "datapath/linux/tls_record.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <string_view>

namespace safekit::tls {
namespace {

enum ContentType : std::uint8_t { kAlert = 21, kHandshake = 22, kContent = 23 };  // RFC 8446, 5.1

/// RFC 8446, 4.6.3: type, length (24 bits), whether an answer is asked for.
constexpr std::array<std::uint8_t, 4> kKeyUpdate{24, 0, 0, 1};
constexpr std::uint8_t kNotRequested = 0;
constexpr std::uint8_t kRequested = 1;
/// One after the other: a reader is not kept busy for nothing.
constexpr std::uint32_t kWithoutContentMax = 32;

std::size_t key_bytes(AeadCipher cipher) { return cipher == AeadCipher::Aes128Gcm ? 16 : 32; }

/// HKDF-Expand-Label (RFC 8446, 7.1) without a context, of one hash at most: the first block of HKDF-Expand (RFC 5869, 2.3).
SecretKey expand(const SecretKey& secret, std::string_view label, std::size_t bytes) {
  constexpr std::string_view kPrefix = "tls13 ";
  Bytes info{0, static_cast<std::uint8_t>(bytes), static_cast<std::uint8_t>(kPrefix.size() + label.size())};
  for (const std::string_view part : {kPrefix, label}) info.insert(info.end(), part.begin(), part.end());
  info.insert(info.end(), {0, 1});  // no context; the block's number
  SecretKey block{};
  unsigned int done = 0;
  SK_ASSERT(::HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), info.data(), info.size(), block.data(), &done) != nullptr);
  SK_ASSERT(bytes <= block.size() && done == block.size());
  return block;
}

Aead make_aead(const TrafficSecret& secret) {
  SecretKey key = expand(secret.secret, "key", key_bytes(secret.cipher));
  Aead aead{secret.cipher, BytesView{key}.first(key_bytes(secret.cipher))};
  OPENSSL_cleanse(key.data(), key.size());
  return aead;
}

AeadNonce make_base(const TrafficSecret& secret) {
  AeadNonce base{};
  std::ranges::copy_n(expand(secret.secret, "iv", base.size()).begin(), base.size(), base.begin());
  return base;
}

Error ended(std::string_view why) { return Error{Code::Unavailable, fmt::format("TLS: {}", why)}; }

}  // namespace

TrafficSecret::~TrafficSecret() { OPENSSL_cleanse(secret.data(), secret.size()); }

RecordKey::RecordKey(const TrafficSecret& secret) : secret_(secret), aead_(make_aead(secret)), base_(make_base(secret)) {}

AeadNonce RecordKey::next_nonce() {
  AeadNonce nonce = base_;
  for (std::size_t i = 0; i < sizeof records_; ++i) nonce[nonce.size() - 1 - i] ^= static_cast<std::uint8_t>(records_ >> (8 * i));
  ++records_;
  return nonce;
}

void RecordKey::seal(BytesView content, std::uint8_t type, std::span<std::uint8_t> record) {
  const std::size_t bytes = record.size() - kRecordHeadBytes;
  // All that follows a handshake looks like content.
  const std::array<std::uint8_t, kRecordHeadBytes> head{kContent, 3, 3, static_cast<std::uint8_t>(bytes >> 8),
                                                        static_cast<std::uint8_t>(bytes)};
  std::ranges::copy(head, record.begin());
  aead_.seal(next_nonce(), head, content, record.subspan(kRecordHeadBytes), BytesView{&type, 1});
}

bool RecordKey::open(BytesView record, std::span<std::uint8_t> inner) {
  return aead_.open(next_nonce(), record.first(kRecordHeadBytes), record.subspan(kRecordHeadBytes), inner);
}

void RecordKey::change() {
  const TrafficSecret next{secret_.cipher, expand(secret_.secret, "traffic upd", secret_.secret.size())};
  secret_ = next;
  aead_ = make_aead(secret_);
  base_ = make_base(secret_);
  records_ = 0;
}

BytesView RecordSealer::seal(BytesView content, bool change) {
  bytes_ = 0;
  if (change) change_key();
  while (!content.empty()) {
    if (key_.records() >= records_of_a_key_) change_key();
    const BytesView piece = content.first(std::min(content.size(), kRecordContentMax));
    add(piece, kContent);
    content = content.subspan(piece.size());
  }
  return BytesView{sealed_}.first(bytes_);
}

void RecordSealer::change_key() {
  Bytes message{kKeyUpdate.begin(), kKeyUpdate.end()};
  message.push_back(kNotRequested);
  add(message, kHandshake);
  key_.change();
}

void RecordSealer::add(BytesView content, std::uint8_t type) {
  const std::size_t record = content.size() + kRecordCost;
  if (sealed_.size() < bytes_ + record) sealed_.resize(bytes_ + record);
  key_.seal(content, type, std::span{sealed_}.subspan(bytes_, record));
  bytes_ += record;
}

Result<std::optional<std::size_t>> RecordOpener::find(BytesView received) {
  if (received.size() < kRecordHeadBytes) return std::optional<std::size_t>{};
  const std::size_t bytes = std::size_t{received[3]} << 8 | received[4];
  const bool is_record = received[0] == kContent && received[1] == 3 && received[2] == 3 && bytes > Aead::kTagBytes &&
                         kRecordHeadBytes + bytes <= kRecordBytesMax;
  if (!is_record) return ended("what came is no record");
  if (received.size() - kRecordHeadBytes < bytes) return std::optional<std::size_t>{};
  return std::optional{kRecordHeadBytes + bytes};
}

Result<std::size_t> RecordOpener::open(BytesView record, std::span<std::uint8_t> into) {
  const auto inner = into.first(room(record.size()));
  if (!key_.open(record, inner)) return ended("a record was changed on the way");
  std::size_t bytes = inner.size();
  while (bytes > 0 && inner[bytes - 1] == 0) --bytes;  // padding
  if (bytes == 0) return ended("a record without a type");
  const std::uint8_t type = inner[--bytes];
  const BytesView content = inner.first(bytes);
  without_content_ = type == kContent && bytes > 0 ? 0 : without_content_ + 1;
  if (without_content_ > kWithoutContentMax) return ended("too many records without content");
  if (type == kContent) return bytes;
  if (type == kHandshake) {
    SK_TRY_VOID(take_handshake(content));
    return std::size_t{0};
  }
  if (type == kAlert && bytes == 2) return ended(fmt::format("the peer ended the connection: {}", SSL_alert_desc_string_long(content[1])));
  return ended("a record of an unknown type");
}

Status RecordOpener::take_handshake(BytesView message) {
  const bool is_update = message.size() == kKeyUpdate.size() + 1 && std::ranges::equal(message.first(kKeyUpdate.size()), kKeyUpdate) &&
                         message.back() <= kRequested;
  if (!is_update) return ended("an unexpected message of the handshake");
  if (message.back() == kRequested) asked_ = true;
  key_.change();
  return {};
}

}  // namespace safekit::tls
