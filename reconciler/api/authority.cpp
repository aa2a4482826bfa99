#include "reconciler/api/authority.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace safekit::api {

int trust(ssl_ctx_st* context, const std::string& authority_pem) {
  BIO* text = BIO_new_mem_buf(authority_pem.data(), static_cast<int>(authority_pem.size()));
  int count = 0;
  while (X509* certificate = PEM_read_bio_X509(text, nullptr, nullptr, nullptr)) {
    count += X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
    X509_free(certificate);
  }
  BIO_free(text);
  ERR_clear_error();  // the end of the PEM text is an error to OpenSSL
  return count;
}

}  // namespace safekit::api
