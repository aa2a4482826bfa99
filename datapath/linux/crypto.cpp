#include "datapath/linux/crypto.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <fmt/format.h>

#include "datapath/linux/aead.h"

namespace safekit::linux_os {
namespace {

constexpr int kSerialBits = 127;  // a positive number that fits in 16 bytes
constexpr long kBackdateSeconds = 24L * 3600;
constexpr std::size_t kCommonNameBytesMax = 64;  // ub-common-name of RFC 5280

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Free<EVP_CIPHER_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Free<X509_REQ_free>>;
using Memory = std::unique_ptr<BIO, Free<BIO_free_all>>;

int size_of(BytesView bytes) {
  return static_cast<int>(bytes.size());
}

Error openssl_error(Code code, std::string_view doing) {
  char text[256] = "no reason given";
  if (const auto number = ERR_get_error(); number != 0) ERR_error_string_n(number, text, sizeof text);
  ERR_clear_error();
  return Error{code, fmt::format("{}: {}", doing, text)};
}

Memory reader_of(std::string_view text) {
  return Memory{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

/// What `write` puts into a memory BIO. Key material is only ever in memory, never in a file of its own.
template <class Write>
std::string pem_of(Write write) {
  const Memory memory{BIO_new(BIO_s_mem())};
  SK_ASSERT(memory && write(memory.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

std::string pem_of(EVP_PKEY* key) {
  return pem_of(
      [&](BIO* out) { return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

int no_password(char*, int, int, void*) {
  return -1;
}  // an encrypted key must not ask on the terminal

Key read_key(std::string_view pem) {
  return Key{PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, no_password, nullptr)};
}
Certificate read_certificate(std::string_view pem) {
  return Certificate{PEM_read_bio_X509(reader_of(pem).get(), nullptr, no_password, nullptr)};
}

Status set_name(X509_NAME* name, std::string_view common_name) {
  if (common_name.empty() || common_name.size() > kCommonNameBytesMax ||
      common_name.find('\0') != std::string_view::npos) {
    return Error{Code::Invalid, fmt::format("a certificate's name has 1 to {} bytes", kCommonNameBytesMax)};
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(common_name.data());
  if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, bytes,
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return openssl_error(Code::Invalid, "certificate name");
  }
  return {};
}

/// A certificate with random serial and dates, without names, key and extensions.
Certificate blank_certificate(int days) {
  Certificate certificate{X509_new()};
  SK_ASSERT(certificate);
  const std::unique_ptr<BIGNUM, Free<BN_free>> serial{BN_new()};
  SK_ASSERT(BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1);
  SK_ASSERT(BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) != nullptr);
  SK_ASSERT(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  SK_ASSERT(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kBackdateSeconds) != nullptr);
  SK_ASSERT(X509_time_adj_ex(X509_getm_notAfter(certificate.get()), days, 0, nullptr) != nullptr);
  return certificate;
}

Status add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>> extension{
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str())};
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return openssl_error(Code::Invalid, "certificate extension");
  }
  return {};
}

/// subjectAltName DNS:name, built as a value: the text form of OpenSSL would take commas in a name for more
/// entries.
Status add_dns_name(X509* certificate, std::string_view name) {
  const std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>> names{sk_GENERAL_NAME_new_null()};
  GENERAL_NAME* entry = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  SK_ASSERT(names && entry != nullptr && text != nullptr);
  SK_ASSERT(ASN1_STRING_set(text, name.data(), static_cast<int>(name.size())) == 1);
  GENERAL_NAME_set0_value(entry, GEN_DNS, text);
  SK_ASSERT(sk_GENERAL_NAME_push(names.get(), entry) > 0);
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT) != 1) {
    return openssl_error(Code::Invalid, "certificate alternative name");
  }
  return {};
}

Result<std::string> sign(X509* certificate, EVP_PKEY* key) {
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return openssl_error(Code::Invalid, "sign certificate");
  return pem_of([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

Key new_key() {
  Key key{EVP_EC_gen("P-256")};
  SK_ASSERT(key);
  return key;
}

}  // namespace

struct Aead::Contexts {
  CipherContext seal{EVP_CIPHER_CTX_new()};
  CipherContext open{EVP_CIPHER_CTX_new()};
};

Aead::Aead(AeadCipher cipher, BytesView key) : contexts_(std::make_unique<Contexts>()) {
  const EVP_CIPHER* const type = cipher == AeadCipher::Aes128Gcm   ? EVP_aes_128_gcm()
                                 : cipher == AeadCipher::Aes256Gcm ? EVP_aes_256_gcm()
                                                                   : EVP_chacha20_poly1305();
  SK_ASSERT(contexts_->seal && contexts_->open && size_of(key) == EVP_CIPHER_get_key_length(type));
  SK_ASSERT(EVP_EncryptInit_ex(contexts_->seal.get(), type, nullptr, key.data(), nullptr) == 1);
  SK_ASSERT(EVP_DecryptInit_ex(contexts_->open.get(), type, nullptr, key.data(), nullptr) == 1);
}
Aead::~Aead() = default;
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;

void Aead::seal(const AeadNonce& nonce, BytesView associated, BytesView plain, std::span<std::uint8_t> out, BytesView tail) {
  const std::size_t sealed = plain.size() + tail.size();
  SK_ASSERT(out.size() == sealed + kTagBytes);
  EVP_CIPHER_CTX* const context = contexts_->seal.get();
  int done = 0;
  SK_ASSERT(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1);
  SK_ASSERT(EVP_EncryptUpdate(context, nullptr, &done, associated.data(), size_of(associated)) == 1);
  SK_ASSERT(EVP_EncryptUpdate(context, out.data(), &done, plain.data(), size_of(plain)) == 1);
  if (!tail.empty()) SK_ASSERT(EVP_EncryptUpdate(context, out.data() + plain.size(), &done, tail.data(), size_of(tail)) == 1);
  SK_ASSERT(EVP_EncryptFinal_ex(context, out.data() + sealed, &done) == 1);
  SK_ASSERT(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, out.data() + sealed) == 1);
}

bool Aead::open(const AeadNonce& nonce, BytesView associated, BytesView sealed, std::span<std::uint8_t> out) {
  if (sealed.size() < kTagBytes) return false;
  const BytesView body = sealed.first(sealed.size() - kTagBytes);
  SK_ASSERT(out.size() == body.size());
  EVP_CIPHER_CTX* const context = contexts_->open.get();
  std::array<std::uint8_t, kTagBytes> tag{};
  std::ranges::copy(sealed.last(kTagBytes), tag.begin());
  int done = 0;
  SK_ASSERT(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1);
  SK_ASSERT(EVP_DecryptUpdate(context, nullptr, &done, associated.data(), size_of(associated)) == 1);
  SK_ASSERT(EVP_DecryptUpdate(context, out.data(), &done, body.data(), size_of(body)) == 1);
  SK_ASSERT(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  return EVP_DecryptFinal_ex(context, out.data() + done, &done) == 1;
}

Bytes OpensslCrypto::seal(const SecretKey& key, const AeadNonce& nonce, BytesView associated,
                          BytesView plain) {
  Bytes sealed(plain.size() + Aead::kTagBytes);
  Aead{key}.seal(nonce, associated, plain, sealed);
  return sealed;
}

Result<Bytes> OpensslCrypto::open(const SecretKey& key, const AeadNonce& nonce, BytesView associated,
                                  BytesView sealed) {
  if (sealed.size() < Aead::kTagBytes) return Error{Code::Denied, "sealed bytes are too short to hold a tag"};
  Bytes plain(sealed.size() - Aead::kTagBytes);
  if (!Aead{key}.open(nonce, associated, sealed, plain)) {
    return Error{Code::Denied, "sealed bytes were not made with this key, or were changed"};
  }
  return plain;
}

SecretKey OpensslCrypto::derive(const SecretKey& key, std::string_view purpose) {
  const std::unique_ptr<EVP_KDF, Free<EVP_KDF_free>> hkdf{
      EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr)};
  const std::unique_ptr<EVP_KDF_CTX, Free<EVP_KDF_CTX_free>> context{EVP_KDF_CTX_new(hkdf.get())};
  SK_ASSERT(context);
  char digest[] = "SHA256";
  SecretKey secret = key;  // the parameters take no const pointers
  std::string info{purpose};
  const std::array<OSSL_PARAM, 4> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  SecretKey derived{};
  SK_ASSERT(EVP_KDF_derive(context.get(), derived.data(), derived.size(), parameters.data()) == 1);
  OPENSSL_cleanse(secret.data(), secret.size());
  return derived;
}

std::string OpensslCrypto::sha256_hex(BytesView bytes) {
  std::array<std::uint8_t, 32> digest{};
  SK_ASSERT(EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

Result<Identity> OpensslCrypto::make_authority(std::string_view common_name, int days) {
  const Key key = new_key();
  const Certificate certificate = blank_certificate(days);
  X509* const raw = certificate.get();
  SK_TRY_VOID(set_name(X509_get_subject_name(raw), common_name));
  SK_ASSERT(X509_set_issuer_name(raw, X509_get_subject_name(raw)) == 1);
  SK_ASSERT(X509_set_pubkey(raw, key.get()) == 1);
  SK_TRY_VOID(add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  SK_TRY_VOID(add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign"));
  SK_TRY_VOID(add_extension(raw, raw, NID_subject_key_identifier, "hash"));
  SK_TRY(auto pem, sign(raw, key.get()));
  return Identity{.key_pem = pem_of(key.get()), .certificate_pem = std::move(pem)};
}

Result<Identity> OpensslCrypto::make_request(std::string_view common_name) {
  const Key key = new_key();
  const Request request{X509_REQ_new()};
  SK_ASSERT(request);
  SK_TRY_VOID(set_name(X509_REQ_get_subject_name(request.get()), common_name));
  SK_ASSERT(X509_REQ_set_pubkey(request.get(), key.get()) == 1);
  SK_ASSERT(X509_REQ_sign(request.get(), key.get(), EVP_sha256()) != 0);
  return Identity{.key_pem = pem_of(key.get()), .certificate_pem = pem_of([&](BIO* out) {
                                                  return PEM_write_bio_X509_REQ(out, request.get());
                                                })};
}

Result<std::string> OpensslCrypto::sign_request(const Identity& authority, std::string_view request_pem,
                                                std::string_view common_name, int days) {
  const Key authority_key = read_key(authority.key_pem);
  if (!authority_key) return openssl_error(Code::Invalid, "key of the cluster authority");
  const Certificate issuer = read_certificate(authority.certificate_pem);
  if (!issuer) return openssl_error(Code::Invalid, "certificate of the cluster authority");
  if (X509_check_private_key(issuer.get(), authority_key.get()) != 1) {
    ERR_clear_error();
    return Error{Code::Invalid, "key and certificate of the cluster authority do not belong together"};
  }
  const Request request{PEM_read_bio_X509_REQ(reader_of(request_pem).get(), nullptr, no_password, nullptr)};
  if (!request) return openssl_error(Code::Invalid, "certificate request");
  EVP_PKEY* const node_key = X509_REQ_get0_pubkey(request.get());
  // The signature shows that the asker holds the key.
  if (node_key == nullptr || X509_REQ_verify(request.get(), node_key) != 1) {
    return openssl_error(Code::Denied, "signature of the certificate request");
  }
  const Certificate certificate = blank_certificate(days);
  X509* const raw = certificate.get();
  SK_TRY_VOID(set_name(X509_get_subject_name(raw), common_name));
  SK_ASSERT(X509_set_issuer_name(raw, X509_get_subject_name(issuer.get())) == 1);
  SK_ASSERT(X509_set_pubkey(raw, node_key) == 1);
  SK_TRY_VOID(add_extension(raw, issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  SK_TRY_VOID(add_extension(raw, issuer.get(), NID_key_usage, "critical,digitalSignature"));
  SK_TRY_VOID(add_extension(raw, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  SK_TRY_VOID(add_extension(raw, issuer.get(), NID_subject_key_identifier, "hash"));
  SK_TRY_VOID(add_extension(raw, issuer.get(), NID_authority_key_identifier, "keyid"));
  SK_TRY_VOID(add_dns_name(raw, common_name));
  return sign(raw, authority_key.get());
}

Result<std::string> OpensslCrypto::fingerprint(std::string_view certificate_pem) {
  const Certificate certificate = read_certificate(certificate_pem);
  if (!certificate) return openssl_error(Code::Invalid, "certificate");
  std::array<std::uint8_t, 32> digest{};
  SK_ASSERT(X509_digest(certificate.get(), EVP_sha256(), digest.data(), nullptr) == 1);
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

}  // namespace safekit::linux_os
