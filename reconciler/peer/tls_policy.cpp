#include "reconciler/peer/tls_policy.h"

#include <array>
#include <mutex>

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace safekit::peer {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

X509Ptr read_certificate(const std::string& pem) {
  const BioPtr bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
  return X509Ptr{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)};
}

/// A key with a pass phrase is refused instead of asked for on the terminal.
int no_pass_phrase(char*, int, int, void*) { return -1; }

KeyPtr read_key(const std::string& pem) {
  const BioPtr bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
  return KeyPtr{PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr)};
}

std::string common_name(const X509_NAME* name) {
  std::array<char, 256> text{};
  const int size = X509_NAME_get_text_by_NID(name, NID_commonName, text.data(), static_cast<int>(text.size()));
  return size > 0 ? std::string{text.data(), static_cast<std::size_t>(size)} : std::string{};
}

std::string refusal(X509_STORE_CTX* context, const X509* leaf, const std::string& authority) {
  const std::string name = common_name(X509_get_subject_name(leaf));
  const std::string issuer = common_name(X509_get_issuer_name(leaf));
  if (issuer != authority) {
    return fmt::format("'{}' belongs to another cluster: its certificate is of '{}', ours is of '{}'; check the addresses "
                       "in the cluster file, or join that node to this cluster anew",
                       name, issuer, authority);
  }
  const int error = X509_STORE_CTX_get_error(context);
  const bool is_about_time = error == X509_V_ERR_CERT_NOT_YET_VALID || error == X509_V_ERR_CERT_HAS_EXPIRED;
  return fmt::format("the certificate of '{}' is refused: {}{}", name, X509_verify_cert_error_string(error),
                     is_about_time ? "; check the clocks of both nodes" : "");
}

}  // namespace

struct TlsPolicy::Material {
  X509Ptr authority{};
  std::mutex mutex{};  ///< guards the two below
  X509Ptr certificate{};
  KeyPtr key{};
};

TlsPolicy::TlsPolicy() : material_(std::make_unique<Material>()) {}
TlsPolicy::~TlsPolicy() = default;

Result<std::shared_ptr<TlsPolicy>> TlsPolicy::make(const std::string& authority_pem, const Identity& own) {
  std::shared_ptr<TlsPolicy> policy{new TlsPolicy};
  Material& material = *policy->material_;
  material.authority = read_certificate(authority_pem);
  if (!material.authority) return Error{Code::Invalid, "the certificate of the cluster authority cannot be read"};
  policy->authority_name_ = common_name(X509_get_subject_name(material.authority.get()));
  policy->authority_pem_ = authority_pem;
  if (!own.certificate_pem.empty()) SK_TRY_VOID(policy->set_own(own));
  return policy;
}

Status TlsPolicy::set_own(const Identity& own) {
  X509Ptr certificate = read_certificate(own.certificate_pem);
  KeyPtr key = read_key(own.key_pem);
  if (!certificate || !key) return Error{Code::Invalid, "the certificate or key of this node cannot be read"};
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Error{Code::Invalid, "the certificate and the key of this node do not belong together"};
  }
  const std::lock_guard lock{material_->mutex};
  material_->certificate = std::move(certificate);
  material_->key = std::move(key);
  return {};
}

int TlsPolicy::show_certificate(ssl_st* connection, void* policy) {
  Material& material = *static_cast<TlsPolicy*>(policy)->material_;
  const std::lock_guard lock{material.mutex};
  if (!material.certificate) return 1;
  return SSL_use_certificate(connection, material.certificate.get()) == 1 &&
         SSL_use_PrivateKey(connection, material.key.get()) == 1;
}

namespace {

int verify(X509_STORE_CTX* context, void* argument) {
  const auto& end = *static_cast<const TlsPolicy::End*>(argument);
  const X509* leaf = X509_STORE_CTX_get0_cert(context);
  std::string why;
  if (X509_verify_cert(context) != 1) {
    why = refusal(context, leaf, end.policy->authority_name());
  } else if (end.accept) {
    why = end.accept(common_name(X509_get_subject_name(leaf)));
    if (!why.empty()) X509_STORE_CTX_set_error(context, X509_V_ERR_APPLICATION_VERIFICATION);
  }
  if (!why.empty() && end.refused) end.refused(why);
  return why.empty() ? 1 : 0;
}

}  // namespace

bool TlsPolicy::apply(const End& end, ssl_ctx_st* context) {
  const Material& material = *end.policy->material_;
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  // Sessions are not resumed: each connection proves both ends.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  X509_STORE* store = X509_STORE_new();
  if (store == nullptr || X509_STORE_add_cert(store, material.authority.get()) != 1) return false;
  SSL_CTX_set_cert_store(context, store);  // takes it over
  SSL_CTX_set_cert_cb(context, show_certificate, end.policy.get());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, verify, const_cast<End*>(&end));
  return true;
}

std::string TlsPolicy::peer_name(const ssl_st* connection) {
  const X509* certificate = SSL_get0_peer_certificate(connection);
  return certificate == nullptr ? std::string{} : common_name(X509_get_subject_name(certificate));
}

}  // namespace safekit::peer
