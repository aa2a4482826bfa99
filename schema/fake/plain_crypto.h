#pragma once

#include <string>

#include "schema/base/digest.h"
#include "schema/port/crypto.h"

namespace safekit::fake {

/// Cryptography that hides nothing and keeps no attacker out, but tells right from wrong keys, and is the
/// same in each run. "Certificates" are texts: `authority NAME`, `request NAME KEY`, `certificate NAME by
/// AUTHORITY KEY`.
class PlainCrypto final : public Crypto {
 public:
  Bytes seal(const SecretKey& key, const AeadNonce& nonce, BytesView associated, BytesView plain) override {
    Bytes sealed{plain.begin(), plain.end()};
    const Digest128 tag = tag_of(key, nonce, associated, plain);
    ByteWriter writer;
    writer.u64(tag.high);
    writer.u64(tag.low);
    sealed.insert(sealed.end(), writer.bytes().begin(), writer.bytes().end());
    return sealed;
  }
  Result<Bytes> open(const SecretKey& key, const AeadNonce& nonce, BytesView associated,
                     BytesView sealed) override {
    if (sealed.size() < 16) return Error{Code::Denied, "sealed bytes are too short to hold a tag"};
    const BytesView plain = sealed.first(sealed.size() - 16);
    ByteReader reader{sealed.last(16)};
    const std::uint64_t high = reader.u64();
    const Digest128 tag{.high = high, .low = reader.u64()};
    if (tag != tag_of(key, nonce, associated, plain)) return Error{Code::Denied, "tag does not hold"};
    return Bytes{plain.begin(), plain.end()};
  }
  SecretKey derive(const SecretKey& key, std::string_view purpose) override {
    SecretKey derived{};
    const Digest128 low = tag_of(key, {}, as_bytes(purpose), {});
    for (std::size_t i = 0; i < 8; ++i) {
      derived[i] = static_cast<std::uint8_t>(low.low >> (8 * i));
      derived[8 + i] = static_cast<std::uint8_t>(low.high >> (8 * i));
    }
    return derived;
  }
  std::string sha256_hex(BytesView bytes) override {
    const std::string half = to_string(digest128(bytes));
    return half + half;
  }

  Result<Identity> make_authority(std::string_view common_name, int) override {
    return Identity{.key_pem = next_key(), .certificate_pem = "authority " + std::string{common_name}};
  }
  Result<Identity> make_request(std::string_view common_name) override {
    const std::string key = next_key();
    return Identity{.key_pem = key, .certificate_pem = "request " + std::string{common_name} + " " + key};
  }
  Result<std::string> sign_request(const Identity& authority, std::string_view request_pem,
                                   std::string_view common_name, int) override {
    if (!authority.certificate_pem.starts_with("authority "))
      return Error{Code::Invalid, "no cluster authority"};
    if (!request_pem.starts_with("request ")) return Error{Code::Invalid, "no certificate request"};
    const std::string key{request_pem.substr(request_pem.rfind(' ') + 1)};
    return "certificate " + std::string{common_name} + " by " + authority.certificate_pem.substr(10) + " " +
           key;
  }
  Result<std::string> fingerprint(std::string_view certificate_pem) override {
    return sha256_hex(as_bytes(certificate_pem));
  }

 private:
  static Digest128 tag_of(const SecretKey& key, const AeadNonce& nonce, BytesView associated,
                          BytesView plain) {
    ByteWriter writer;
    writer.raw(key);
    writer.raw(nonce);
    writer.blob(associated);
    writer.blob(plain);
    return digest128(writer.bytes());
  }
  std::string next_key() { return "key" + std::to_string(++last_key_); }

  int last_key_{0};
};

}  // namespace safekit::fake
