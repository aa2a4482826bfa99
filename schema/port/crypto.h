#pragma once

#include <array>
#include <string>

#include "schema/base/bytes.h"
#include "schema/base/time.h"

namespace safekit {

using SecretKey = std::array<std::uint8_t, 32>;
using AeadNonce = std::array<std::uint8_t, 12>;

/// A private key and its certificate, PEM.
struct Identity {
  std::string key_pem{};
  std::string certificate_pem{};
};

/// Cryptography (OpenSSL behind it). Thread: any. Errors: Invalid for input that cannot be parsed, Denied for a
/// signature or tag that does not hold.
class Crypto {
 public:
  virtual ~Crypto() = default;
  /// AES-256-GCM: returns ciphertext then a 16-byte tag. A nonce must never be used twice with one key.
  virtual Bytes seal(const SecretKey& key, const AeadNonce& nonce, BytesView associated, BytesView plain) = 0;
  virtual Result<Bytes> open(const SecretKey& key, const AeadNonce& nonce, BytesView associated, BytesView sealed) = 0;
  virtual SecretKey derive(const SecretKey& key, std::string_view purpose) = 0;  ///< HKDF-SHA256
  virtual std::string sha256_hex(BytesView bytes) = 0;

  /// A cluster authority: self-signed, ECDSA P-256, backdated by a day, valid for `days`.
  virtual Result<Identity> make_authority(std::string_view common_name, int days) = 0;
  /// A node's new key and a certificate request for it (PEM); the key never leaves the node.
  virtual Result<Identity> make_request(std::string_view common_name) = 0;
  /// Signs a request for the node named; the name and addresses in the request itself are ignored.
  virtual Result<std::string> sign_request(const Identity& authority, std::string_view request_pem,
                                           std::string_view common_name, int days) = 0;
  /// SHA-256 of the certificate's DER form, hexadecimal.
  virtual Result<std::string> fingerprint(std::string_view certificate_pem) = 0;
};

}  // namespace safekit
