#pragma once

#include <memory>

#include "reconciler/api/client.h"

namespace safekit::api {

/// Where a safekitd is, and how it has to prove itself.
struct HttpsTarget {
  std::string host{};
  std::uint16_t port{kHttpsPort};
  std::string token{};  ///< bearer token; empty: not logged in
  /// PEM of the authority that must have signed the server's certificate. The name in the certificate is then
  /// not looked at: every node of a cluster may speak for it, under whatever address. Empty: the system's
  /// authorities, and the name must be right.
  std::string authority_pem{};
  Duration limit{seconds{100}};  ///< of one answer
};

/// Over the Unix socket of a safekitd on this machine.
[[nodiscard]] std::unique_ptr<Client> local_client(std::string socket_path);
[[nodiscard]] std::unique_ptr<Client> https_client(HttpsTarget target);
/// `https://host:9453`, `https://[::1]:9453`, `host:9453`, `host`. Errors: Invalid.
[[nodiscard]] Result<HttpsTarget> parse_target(std::string_view url);

}  // namespace safekit::api
