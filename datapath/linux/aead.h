#pragma once

#include <memory>

#include "schema/port/crypto.h"

namespace safekit::linux_os {

enum class AeadCipher { Aes128Gcm, Aes256Gcm, ChaCha20Poly1305 };

/// One key for many packets: what Crypto::seal and open do, into the caller's memory and without allocating, for the real-time
/// heartbeat thread and for the records of a connection. A value that moves. Thread: one at a time.
class Aead {
 public:
  static constexpr std::size_t kTagBytes = 16;

  explicit Aead(const SecretKey& key) : Aead(AeadCipher::Aes256Gcm, key) {}
  /// `key`: as many bytes as the cipher's has.
  Aead(AeadCipher cipher, BytesView key);
  ~Aead();
  Aead(Aead&&) noexcept;
  Aead& operator=(Aead&&) noexcept;

  /// Writes ciphertext and tag of `plain` with `tail` behind it; `out` holds their bytes and kTagBytes more. A nonce must never be used
  /// twice.
  void seal(const AeadNonce& nonce, BytesView associated, BytesView plain, std::span<std::uint8_t> out, BytesView tail = {});
  /// Writes the plain bytes; `out` holds sealed.size() - kTagBytes bytes, which mean nothing when this is
  /// false.
  [[nodiscard]] bool open(const AeadNonce& nonce, BytesView associated, BytesView sealed,
                          std::span<std::uint8_t> out);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace safekit::linux_os
