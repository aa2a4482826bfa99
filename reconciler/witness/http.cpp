#include "reconciler/witness/http.h"

#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reconciler/api/authority.h"
#include "reconciler/witness/protocol.h"

namespace safekit::witness {
namespace {

std::string hex_of(const unsigned char* bytes, unsigned size) {
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

struct Proof {
  std::string fingerprint{};
  bool refused{false};
};

/// In the place of OpenSSL's own judgement, which wants an authority.
int is_the_one(X509_STORE_CTX* context, void* argument) {
  Proof& proof = *static_cast<Proof*>(argument);
  unsigned char digest[EVP_MAX_MD_SIZE]{};
  unsigned size = 0;
  const X509* certificate = X509_STORE_CTX_get0_cert(context);
  const bool same = certificate != nullptr && X509_digest(certificate, EVP_sha256(), digest, &size) == 1 &&
                    hex_of(digest, size).starts_with(proof.fingerprint);
  proof.refused = !same;
  return same ? 1 : 0;
}

std::unique_ptr<httplib::ClientImpl> client_of(const HttpTarget& target, Proof& proof) {
  if (!target.tls) return std::make_unique<httplib::ClientImpl>(target.host, target.port);
  auto client = std::make_unique<httplib::SSLClient>(target.host, target.port);
  SSL_CTX* context = client->ssl_context();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (target.fingerprint.empty() && target.authority_pem.empty()) return client;
  client->enable_server_certificate_verification(false);  // the library's own, which wants the name to match
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (!target.fingerprint.empty()) {
    proof.fingerprint = target.fingerprint;
    SSL_CTX_set_cert_verify_callback(context, is_the_one, &proof);
  } else {
    (void)api::trust(context, target.authority_pem);  // one that cannot be read has signed nothing
    X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(context), target.name.data(), target.name.size());
  }
  return client;
}

Error error_of(httplib::Error error, const HttpTarget& target, bool refused) {
  const bool is_v6 = target.host.find(':') != std::string::npos;
  const std::string where = fmt::format(fmt::runtime(is_v6 ? "[{}]:{}" : "{}:{}"), target.host, target.port);
  if (refused || error == httplib::Error::SSLServerVerification || error == httplib::Error::SSLLoadingCerts) {
    return Error{Code::Denied, fmt::format("'{}' shows another certificate than the one in the configuration", where)};
  }
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::BindIPAddress: return Error{Code::Unavailable, fmt::format("nothing answers at '{}'", where)};
    case httplib::Error::SSLConnection: return Error{Code::Unavailable, fmt::format("no TLS connection with '{}'", where)};
    default: return Error{Code::Timeout, fmt::format("'{}' gave no answer ({})", where, httplib::to_string(error))};
  }
}

}  // namespace

Stop::~Stop() {
  if (socket_ >= 0) ::close(socket_);
}

void Stop::now() {
  const std::lock_guard lock{mutex_};
  stopped_ = true;
  if (socket_ >= 0) ::shutdown(socket_, SHUT_RDWR);
}

bool Stop::is_stopped() {
  const std::lock_guard lock{mutex_};
  return stopped_;
}

void Stop::watch(int socket) {
  const std::lock_guard lock{mutex_};
  if (socket_ >= 0) ::close(socket_);
  socket_ = ::fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (stopped_) ::shutdown(socket, SHUT_RDWR);
}

Result<HttpReply> exchange(const HttpTarget& target, const std::string& path, const std::string& body, Duration limit, Stop& stop) {
  Proof proof;
  const std::unique_ptr<httplib::ClientImpl> client = client_of(target, proof);
  client->set_socket_options([&stop](socket_t socket) { stop.watch(socket); });
  client->set_connection_timeout(limit);
  client->set_read_timeout(limit);
  client->set_write_timeout(limit);
  client->set_tcp_nodelay(true);
  client->set_url_encode(false);
  HttpReply reply;
  httplib::Request request;
  request.method = body.empty() ? "GET" : "POST";
  request.path = path;
  request.body = body;
  if (!body.empty()) request.set_header("Content-Type", "application/json");
  if (!target.bearer.empty()) request.set_header("Authorization", "Bearer " + target.bearer);
  bool too_long = false;
  request.content_receiver = [&reply, &too_long](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    too_long = reply.body.size() + size > kReplyBytesMax;
    if (!too_long) reply.body.append(data, size);
    return !too_long;
  };
  if (stop.is_stopped()) return Error{Code::Timeout, "stopped"};
  const httplib::Result result = client->send(request);
  if (too_long) return Error{Code::Corrupt, fmt::format("'{}' answers with more than {} bytes", target.host, kReplyBytesMax)};
  if (!result) return error_of(result.error(), target, proof.refused);
  reply.status = result->status;
  return reply;
}

}  // namespace safekit::witness
