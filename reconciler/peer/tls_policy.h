#pragma once

#include <functional>
#include <memory>
#include <string>

#include "schema/base/result.h"
#include "schema/port/crypto.h"

struct ssl_st;
struct ssl_ctx_st;

namespace safekit::peer {

/// Makes TLS contexts speak only TLS 1.3, and only with holders of a certificate of one authority; the system's list of
/// authorities has no say. Names in certificates are node names, never addresses. What is immutable is the authority.
/// Thread: any. Source: RFC 8446; SSL_CTX_set_cert_verify_callback(3).
class TlsPolicy {
 public:
  /// `own` may be empty: then no certificate is shown. Errors: Invalid for what cannot be read.
  [[nodiscard]] static Result<std::shared_ptr<TlsPolicy>> make(const std::string& authority_pem, const Identity& own);
  /// New connections show this certificate from now on, also those of contexts that are in use. Errors: Invalid.
  Status set_own(const Identity& own);
  TlsPolicy(const TlsPolicy&) = delete;
  TlsPolicy& operator=(const TlsPolicy&) = delete;
  ~TlsPolicy();

  /// One end of connections. It outlives the context it was put into.
  struct End {
    std::shared_ptr<TlsPolicy> policy{};
    /// Empty: fine. Else why a holder of a good certificate with that name is not the right one.
    std::function<std::string(const std::string& name)> accept{};
    std::function<void(const std::string&)> refused{};
  };
  /// False: the context could not be set up.
  [[nodiscard]] static bool apply(const End& end, ssl_ctx_st* context);
  /// The proved name of the other end; empty: it showed no certificate.
  [[nodiscard]] static std::string peer_name(const ssl_st* connection);
  [[nodiscard]] const std::string& authority_name() const { return authority_name_; }
  [[nodiscard]] const std::string& authority_pem() const { return authority_pem_; }

 private:
  struct Material;
  TlsPolicy();
  static int show_certificate(ssl_st* connection, void* policy);
  std::unique_ptr<Material> material_;
  std::string authority_name_{};
  std::string authority_pem_{};
};

}  // namespace safekit::peer
