#include "reconciler/api/connection.h"

#include <cerrno>
#include <limits>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace safekit::api {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

Error tls_error(Code code, const std::string& what) {
  char reason[256] = "unknown";
  if (const unsigned long error = ERR_get_error(); error != 0)
    ERR_error_string_n(error, reason, sizeof reason);
  ERR_clear_error();
  return Error{code, what + ": " + reason};
}

int limit_of(std::size_t size) {
  return static_cast<int>(std::min(size, static_cast<std::size_t>(std::numeric_limits<int>::max())));
}

void set_limit(int fd, int option, Duration limit) {
  const timeval value{.tv_sec = static_cast<time_t>(limit / seconds{1}), .tv_usec = 0};
  (void)::setsockopt(fd, SOL_SOCKET, option, &value,
                     sizeof value);  // without it a dead peer holds its thread longer
}

}  // namespace

struct TlsIdentity::Impl {
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context{};
};

TlsIdentity::TlsIdentity(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsIdentity::~TlsIdentity() = default;

Result<std::shared_ptr<TlsIdentity>> TlsIdentity::make(const Identity& identity) {
  auto impl = std::make_unique<Impl>();
  impl->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = impl->context.get();
  if (context == nullptr) return tls_error(Code::Io, "TLS is not available");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  const Bio certificates{
      BIO_new_mem_buf(identity.certificate_pem.data(), limit_of(identity.certificate_pem.size()))};
  const Bio keys{BIO_new_mem_buf(identity.key_pem.data(), limit_of(identity.key_pem.size()))};
  const Certificate own{PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)};
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1)
    return tls_error(Code::Invalid, "the certificate cannot be read");
  while (X509* next = PEM_read_bio_X509(certificates.get(), nullptr, nullptr, nullptr)) {
    if (SSL_CTX_add_extra_chain_cert(context, next) != 1) X509_free(next);
  }
  ERR_clear_error();  // the end of the PEM text is an error to OpenSSL
  const Key key{PEM_read_bio_PrivateKey(keys.get(), nullptr, nullptr, nullptr)};
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return tls_error(Code::Invalid, "the private key cannot be read or belongs to another certificate");
  }
  return std::shared_ptr<TlsIdentity>{new TlsIdentity{std::move(impl)}};
}

struct Connection::Tls {
  std::unique_ptr<SSL, Freed<SSL_free>> ssl{};
  bool broken{false};
};

Connection::Connection(int fd) : fd_(fd) {
  set_limit(fd, SO_RCVTIMEO, kReadLimit);
  set_limit(fd, SO_SNDTIMEO, kWriteLimit);
}

Connection::~Connection() {
  if (tls_ && !tls_->broken) SSL_shutdown(tls_->ssl.get());
  tls_.reset();
  ERR_clear_error();
  ::close(fd_);
}

bool Connection::handshake(const std::shared_ptr<TlsIdentity>& identity) {
  identity_ = identity;
  tls_ = std::make_unique<Tls>();
  tls_->ssl.reset(SSL_new(identity->impl().context.get()));
  SSL* ssl = tls_->ssl.get();
  if (ssl != nullptr && SSL_set_fd(ssl, fd_) == 1 && SSL_accept(ssl) == 1) return true;
  ERR_clear_error();
  tls_->broken = true;
  return false;
}

bool Connection::wait_readable(Duration limit) {
  if (tls_ && SSL_pending(tls_->ssl.get()) > 0) return true;
  pollfd item{.fd = fd_, .events = POLLIN, .revents = 0};
  return ::poll(&item, 1, static_cast<int>(limit / milliseconds{1})) > 0;
}

std::ptrdiff_t Connection::read(char* out, std::size_t size) {
  if (!tls_) {
    std::ptrdiff_t got = 0;
    do {
      got = ::recv(fd_, out, size, 0);
    } while (got < 0 && errno == EINTR);
    return got;
  }
  const int got = SSL_read(tls_->ssl.get(), out, limit_of(size));
  if (got > 0) return got;
  const int error = SSL_get_error(tls_->ssl.get(), got);
  ERR_clear_error();
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  tls_->broken = true;
  return -1;
}

std::ptrdiff_t Connection::write(const char* data, std::size_t size) {
  if (!tls_) {
    std::ptrdiff_t sent = 0;
    do {
      sent = ::send(fd_, data, size, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
  }
  const int sent = SSL_write(tls_->ssl.get(), data, limit_of(size));
  if (sent > 0) return sent;
  ERR_clear_error();
  tls_->broken = true;
  return -1;
}

}  // namespace safekit::api
