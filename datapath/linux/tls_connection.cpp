#include "datapath/linux/tls_connection.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace safekit::tls {

namespace {

constexpr std::size_t kReadPieceBytes = 256U << 10;
/// As ALPN has it: length, then the name (docs/wire.md, "Several connections").
constexpr std::array<std::uint8_t, 17> kBundleOffer{16, 's', 'a', 'f', 'e', 'k', 'i', 't', '-', 'b', 'u', 'n', 'd', 'l', 'e', '/', '1'};

int milliseconds_until(SteadyTime end) {
  const auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(std::min<long>(left + 1, 1 << 30));
}

std::string tls_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    if (!text.empty()) text += "; ";
    const char* reason = ERR_reason_error_string(code);
    text += reason != nullptr ? reason : "unknown";
  }
  return text.empty() ? "unknown" : text;
}

/// Of what a client offers; nothing that is known: as if it had offered nothing.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered, unsigned int bytes, void*) {
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, size, kBundleOffer.data(), kBundleOffer.size(), offered, bytes) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Stopper::Stopper() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Stopper::shut() {
  shut_ = true;
  const std::uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);  // full is as good
}

int Stopper::wait(int fd, short events, SteadyTime end) const {
  std::array<pollfd, 2> both{pollfd{fd, events, 0}, pollfd{event_.get(), POLLIN, 0}};
  return wait_all(both, end);
}

int Stopper::wait(std::vector<pollfd>& waited, SteadyTime end) const {
  waited.push_back({event_.get(), POLLIN, 0});
  const int ready = wait_all(waited, end);
  waited.pop_back();
  return ready;
}

int Stopper::wait_all(std::span<pollfd> waited, SteadyTime end) const {
  for (;;) {
    const int ready = ::poll(waited.data(), waited.size(), milliseconds_until(end));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || shut_ || waited.back().revents != 0) return -1;
    return ready > 0 ? 1 : 0;
  }
}

Result<SslContext> make_context(const TlsPeer& peer, bool server, bool bundles) {
  SslContext context{SSL_CTX_new(server ? TLS_server_method() : TLS_client_method())};
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_options(raw, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (server) {
    SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  } else if (bundles && SSL_CTX_set_alpn_protos(raw, kBundleOffer.data(), kBundleOffer.size()) != 0) {
    return Error{Code::Unsupported, "TLS: the extension for several connections is not available"};
  }
  ERR_clear_error();
  if (SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") != 1) {
    return Error{Code::Unsupported, "TLS: " + tls_errors()};
  }
  if (SSL_CTX_load_verify_locations(raw, peer.authority_file.c_str(), nullptr) != 1) {
    return Error{Code::Io, fmt::format("cluster authority '{}': {}", peer.authority_file, tls_errors())};
  }
  if (SSL_CTX_use_certificate_chain_file(raw, peer.certificate_file.c_str()) != 1) {
    return Error{Code::Io, fmt::format("certificate '{}': {}", peer.certificate_file, tls_errors())};
  }
  if (SSL_CTX_use_PrivateKey_file(raw, peer.key_file.c_str(), SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(raw) != 1) {
    return Error{Code::Io, fmt::format("key '{}': {}", peer.key_file, tls_errors())};
  }
  return context;
}

Connection::Connection(Fd socket, SSL_CTX* context, bool server)
    : socket_(std::move(socket)), server_(server), handshake_(std::make_unique<Handshake>()) {
  SSL_CTX_set_keylog_callback(context, note_secret);
  SSL* const ssl = SSL_new(context);
  handshake_->ssl.reset(ssl);
  SSL_set_app_data(ssl, this);
  BIO* network = BIO_new(buffer_method());
  BIO_set_data(network, this);
  BIO_set_init(network, 1);
  SSL_set_bio(ssl, network, network);
  if (server) {
    SSL_set_accept_state(ssl);
  } else {
    SSL_set_connect_state(ssl);
  }
}

Result<bool> Connection::go_on_with_handshake(const std::string& peer) {
  while (handshake_ != nullptr) {
    ERR_clear_error();
    SSL* const ssl = handshake_->ssl.get();
    const int done = SSL_do_handshake(ssl);
    const int why = SSL_get_error(ssl, done);
    handshake_->sending.clear();
    std::swap(handshake_->sending, handshake_->made);
    unsent_ = handshake_->sending;
    const auto sent = send_some();
    // A handshake fits into the buffer of a new socket: a peer for which it does not is none.
    const Status all_sent = !sent  ? Status{sent.error()}
                            : *sent ? Status{}
                                    : Status{Error{Code::Timeout, "the peer takes no data"}};
    if (done == 1) {
      SK_TRY_VOID(all_sent);
      SK_TRY_VOID(check_peer(peer));
      SK_TRY_VOID(begin_records());
      return true;
    }
    if (why != SSL_ERROR_WANT_READ) return handshake_error();
    SK_TRY_VOID(all_sent);
    SK_TRY(const bool received, receive());
    if (!received) return false;
  }
  return true;
}

void Connection::note_secret(const SSL* ssl, const char* line) {
  Handshake& handshake = *static_cast<Connection*>(SSL_get_app_data(ssl))->handshake_;
  const std::string_view text{line};
  for (const auto& [label, of] : {std::pair{std::string_view{"CLIENT_TRAFFIC_SECRET_0 "}, &handshake.client},
                                  std::pair{std::string_view{"SERVER_TRAFFIC_SECRET_0 "}, &handshake.server}}) {
    if (!text.starts_with(label)) continue;
    const char* const hex = line + text.rfind(' ') + 1;  // behind the label and the client's random number
    std::size_t bytes = 0;
    const int read = OPENSSL_hexstr2buf_ex(of->secret.data(), of->secret.size(), &bytes, hex, '\0');
    if (read != 1 || bytes != of->secret.size()) of->secret.fill(0);
  }
}

/// From here on each direction has a key of its own, and counts its records from its first.
Status Connection::begin_records() {
  const SSL* const ssl = handshake_->ssl.get();
  const bool is_aes = SSL_CIPHER_get_id(SSL_get_current_cipher(ssl)) == TLS1_3_CK_AES_128_GCM_SHA256;
  for (TrafficSecret* of : {&handshake_->client, &handshake_->server}) {
    if (of->secret == SecretKey{} || SSL_has_pending(ssl) != 0) {
      return Error{Code::Unsupported, "TLS: this OpenSSL does not give out the secrets of a connection"};
    }
    of->cipher = is_aes ? AeadCipher::Aes128Gcm : AeadCipher::ChaCha20Poly1305;
  }
  const unsigned char* chosen = nullptr;
  unsigned int bytes = 0;
  SSL_get0_alpn_selected(ssl, &chosen, &bytes);
  is_of_bundle_ = bytes > 0;
  sealer_.emplace(server_ ? handshake_->server : handshake_->client);
  opener_.emplace(server_ ? handshake_->client : handshake_->server);
  handshake_.reset();
  return {};
}

void Connection::encrypt(BytesView bytes) { unsent_ = sealer_->seal(bytes, key_change_asked_.exchange(false)); }

Result<bool> Connection::send_some() {
  while (!unsent_.empty()) {
    const ssize_t done = ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done > 0) {
      unsent_ = unsent_.subspan(static_cast<std::size_t>(done));
      continue;
    }
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return Error{Code::Unavailable, std::strerror(errno)};
    return false;
  }
  return true;
}

std::uint64_t Connection::unconfirmed() const {
  int bytes = 0;
  return ::ioctl(socket_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

Stream::Line Connection::line() const {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket_.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return {};
  return {.unconfirmed = unconfirmed(), .held_back = microseconds{info.tcpi_rwnd_limited}};
}

Result<std::size_t> Connection::read_some(std::span<std::uint8_t> into) {
  for (;;) {
    SK_TRY(const std::size_t had, decrypt(into));
    if (had > 0 || into.empty()) return had;
    SK_TRY(const bool received, receive());
    if (!received) return std::size_t{0};
  }
}

/// Fills as much as is there. Zero: more must be received.
Result<std::size_t> Connection::decrypt(std::span<std::uint8_t> into) {
  std::size_t filled = std::min(unread_.size(), into.size());
  std::copy_n(unread_.begin(), filled, into.begin());
  unread_ = unread_.subspan(filled);
  while (!ended_ && filled < into.size()) {
    const auto taken = take_record(into.subspan(filled));
    if (!taken) {
      ended_ = taken.error();
    } else if (*taken) {
      filled += **taken;
    } else {
      break;
    }
  }
  // What came before the end is read first.
  if (filled == 0 && ended_) return *ended_;
  return filled;
}

/// Nothing: the next record has not come. What of it has no room is unread, of which there is nothing before.
Result<std::optional<std::size_t>> Connection::take_record(std::span<std::uint8_t> into) {
  SK_TRY(const auto size, RecordOpener::find(rest_));
  if (!size) return std::optional<std::size_t>{};
  const bool fits = RecordOpener::room(*size) <= into.size();
  if (!fits && content_.empty()) content_.resize(RecordOpener::room(kRecordBytesMax));
  SK_TRY(const std::size_t bytes, opener_->open(rest_.first(*size), fits ? into : std::span{content_}));
  rest_ = rest_.subspan(*size);
  if (opener_->take_request()) key_change_asked_ = true;
  if (fits) return std::optional{bytes};
  const std::size_t taken = std::min(bytes, into.size());
  std::copy_n(content_.begin(), taken, into.begin());
  unread_ = BytesView{content_}.subspan(taken, bytes - taken);
  return std::optional{taken};
}

/// One recv, once all whole records that had come were taken (in a handshake: all bytes). False: nothing there now.
Result<bool> Connection::receive() {
  if (received_.empty()) received_.resize(kReadPieceBytes);
  std::ranges::copy(rest_, received_.begin());  // the beginning of a record
  const std::size_t kept = rest_.size();
  rest_ = BytesView{received_}.first(kept);
  for (;;) {
    const ssize_t got = ::recv(socket_.get(), received_.data() + kept, received_.size() - kept, MSG_DONTWAIT);
    if (got > 0) {
      rest_ = BytesView{received_}.first(kept + static_cast<std::size_t>(got));
      return true;
    }
    if (got == 0) return Error{Code::Unavailable, "the peer closed the connection"};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    return Error{Code::Unavailable, std::strerror(errno)};
  }
}

/// Where OpenSSL reads and writes in a handshake.
const BIO_METHOD* Connection::buffer_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "safekit buffers");
    BIO_meth_set_write_ex(made, [](BIO* bio, const char* bytes, std::size_t size, std::size_t* done) {
      Bytes& out = static_cast<Connection*>(BIO_get_data(bio))->handshake_->made;
      const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes);
      out.insert(out.end(), begin, begin + size);
      *done = size;
      return 1;
    });
    BIO_meth_set_read_ex(made, [](BIO* bio, char* bytes, std::size_t size, std::size_t* done) {
      BytesView& rest = static_cast<Connection*>(BIO_get_data(bio))->rest_;
      *done = std::min(size, rest.size());
      BIO_clear_retry_flags(bio);
      if (*done == 0) {
        BIO_set_retry_read(bio);
        return 0;
      }
      std::memcpy(bytes, rest.data(), *done);
      rest = rest.subspan(*done);
      return 1;
    });
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    return made;
  }();
  return method;
}

Error Connection::handshake_error() const {
  const long verified = SSL_get_verify_result(handshake_->ssl.get());
  if (verified != X509_V_OK) {
    return Error{Code::Denied, fmt::format("the peer's certificate is not accepted: {}; check the cluster authority and "
                                           "the clocks of both nodes", X509_verify_cert_error_string(verified))};
  }
  return Error{Code::Denied, fmt::format("TLS handshake: {}; check that both nodes have certificates of one cluster",
                                         tls_errors())};
}

Status Connection::check_peer(const std::string& expected) const {
  const std::unique_ptr<X509, SslDelete> certificate{SSL_get1_peer_certificate(handshake_->ssl.get())};
  std::array<char, 256> name{};
  if (!certificate || X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name.data(),
                                                name.size()) < 0) {
    return Error{Code::Denied, "the peer's certificate has no name"};
  }
  if (expected != name.data()) {
    return Error{Code::Denied, fmt::format("the peer's certificate names '{}', expected '{}'", name.data(), expected)};
  }
  return {};
}

}  // namespace safekit::tls
