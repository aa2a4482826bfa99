#pragma once

#include "schema/port/crypto.h"

namespace safekit::linux_os {

/// Crypto by OpenSSL 3. A service without state. Thread: any.
/// Certificates: ECDSA P-256 with SHA-256, random 128-bit serial, valid from a day before now. A node's
/// certificate carries its name as common name and as DNS name, and is good for both ends of a TLS
/// connection.
class OpensslCrypto final : public Crypto {
 public:
  Bytes seal(const SecretKey& key, const AeadNonce& nonce, BytesView associated, BytesView plain) override;
  Result<Bytes> open(const SecretKey& key, const AeadNonce& nonce, BytesView associated,
                     BytesView sealed) override;
  SecretKey derive(const SecretKey& key, std::string_view purpose) override;
  std::string sha256_hex(BytesView bytes) override;
  Result<Identity> make_authority(std::string_view common_name, int days) override;
  Result<Identity> make_request(std::string_view common_name) override;
  Result<std::string> sign_request(const Identity& authority, std::string_view request_pem,
                                   std::string_view common_name, int days) override;
  Result<std::string> fingerprint(std::string_view certificate_pem) override;
};

}  // namespace safekit::linux_os
