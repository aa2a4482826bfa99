#pragma once

#include <string>

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace safekit::api {

/// A client's context trusts the certificates of a PEM text from here on. Returns how many there are.
int trust(ssl_ctx_st* context, const std::string& authority_pem);

}  // namespace safekit::api
