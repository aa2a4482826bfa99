#pragma once

#include <memory>
#include <string>

#include "reconciler/api/listener.h"
#include "reconciler/witness/service.h"
#include "schema/port/crypto.h"

namespace safekit::witness {

/// The HTTP door of safekit-witness: who knows the secret may ask. A service. Thread: the one that made it.
class WitnessDoor {
 public:
  struct Options {
    std::string host{"::"};
    std::uint16_t port{0};  ///< 0: any free one (tests)
    std::string secret{};
    bool tls{true};
  };
  WitnessDoor(LeaseService& service, Crypto& crypto, Options options);
  WitnessDoor(const WitnessDoor&) = delete;
  WitnessDoor& operator=(const WitnessDoor&) = delete;
  ~WitnessDoor();
  /// Errors: Invalid for an identity or address that is none, Io (port taken).
  Status open(const Identity& identity);
  [[nodiscard]] std::uint16_t port() const { return port_; }

  static constexpr std::size_t kConnectionsMax = 64;  ///< more wait in the kernel's queue

 private:
  class Desk;
  std::shared_ptr<Desk> desk_;
  Options options_;
  std::unique_ptr<api::Listener> listener_{};
  std::uint16_t port_{0};
};

}  // namespace safekit::witness
