#pragma once

#include <mutex>
#include <string>

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit::witness {

/// A server, and how it and this node prove themselves.
struct HttpTarget {
  std::string host{};
  std::uint16_t port{0};
  bool tls{false};
  std::string bearer{};         ///< token; empty: none is sent
  std::string fingerprint{};    ///< with tls: the certificate's SHA-256 begins with these digits, and nothing else of it counts
  std::string authority_pem{};  ///< with tls: who signed the certificate. Without both: the system's authorities
  std::string name{};           ///< with authority_pem: that the certificate must be of, instead of the host's
};

struct HttpReply {
  int status{0};
  std::string body{};
};

/// Ends exchanges from another thread, without waiting: a server that drips bytes holds none for long. Thread: any.
class Stop {
 public:
  Stop() = default;
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;
  ~Stop();
  void now();
  [[nodiscard]] bool is_stopped();
  /// The socket of the exchange under way, in the place of an earlier one.
  void watch(int socket);

 private:
  std::mutex mutex_{};
  bool stopped_{false};
  int socket_{-1};  ///< a duplicate: the library closes its own, and the number may be another's then
};

/// One request on a connection of its own: POST, or GET when the body is empty. Blocks for about `limit`. Thread: any.
/// Errors: Unavailable when there is no connection, Timeout, Denied for the wrong certificate, Corrupt for an answer that is too long.
[[nodiscard]] Result<HttpReply> exchange(const HttpTarget& target, const std::string& path, const std::string& body, Duration limit,
                                         Stop& stop);

}  // namespace safekit::witness
