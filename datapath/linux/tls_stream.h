#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "schema/port/stream.h"

namespace safekit {

/// Who we are and whom we talk to. Both sides must hold a certificate of the same authority; the peer's common name must
/// be `peer`.
struct TlsPeer {
  std::string certificate_file{};
  std::string key_file{};
  std::string authority_file{};
  std::string peer{};
  Duration silence_max{seconds{30}};  ///< sent data not taken by the peer's kernel for so long: the connection is gone
  std::uint32_t connections{1};  ///< that make one stream; who connects decides, kConnectionsMax (bundle.h) at most
  friend bool operator==(const TlsPeer&, const TlsPeer&) = default;
};

/// TLS 1.3 over TCP, both sides authenticated. The files are read again for each connection, so that a renewed certificate
/// is used. Errors of `next`: as StreamSource.
[[nodiscard]] std::unique_ptr<StreamSource> make_tls_connector(TlsPeer peer, std::string address, std::uint16_t port);
/// Listens from the first `next` on.
[[nodiscard]] std::unique_ptr<StreamSource> make_tls_listener(TlsPeer peer, std::string address, std::uint16_t port);

}  // namespace safekit
