#include "datapath/linux/tls_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>

#include "datapath/linux/fd.h"

namespace safekit {

namespace {

constexpr std::size_t kWritePieceBytes = 256U << 10;  ///< encrypted at once, so sent with few system calls
constexpr std::size_t kReadPieceBytes = 256U << 10;
constexpr Duration kHandshakeMax = seconds{5};
constexpr int kListenBacklog = 8;
constexpr std::size_t kHandshakesMax = 16;  ///< under way at once at a listener; one more ends the oldest

using SteadyTime = std::chrono::steady_clock::time_point;

int milliseconds_until(SteadyTime end) {
  const auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(std::min<long>(left + 1, 1 << 30));
}

SteadyTime after(Duration timeout) { return std::chrono::steady_clock::now() + timeout; }

std::string tls_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    if (!text.empty()) text += "; ";
    const char* reason = ERR_reason_error_string(code);
    text += reason != nullptr ? reason : "unknown";
  }
  return text.empty() ? "unknown" : text;
}

struct SslDelete {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslDelete>;

/// Wakes pollers for good once shut.
class Stopper {
 public:
  Stopper() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void shut() {
    shut_ = true;
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);  // full is as good
  }
  [[nodiscard]] bool is_shut() const { return shut_; }
  /// 1 ready, 0 timed out, -1 shut or broken.
  int wait(int fd, short events, SteadyTime end) const {
    std::array<pollfd, 2> both{pollfd{fd, events, 0}, pollfd{event_.get(), POLLIN, 0}};
    return wait_all(both, end);
  }
  /// For any of them; one more is added for the stop.
  int wait(std::vector<pollfd>& waited, SteadyTime end) const {
    waited.push_back({event_.get(), POLLIN, 0});
    const int ready = wait_all(waited, end);
    waited.pop_back();
    return ready;
  }

 private:
  int wait_all(std::span<pollfd> waited, SteadyTime end) const {
    for (;;) {
      const int ready = ::poll(waited.data(), waited.size(), milliseconds_until(end));
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0 || shut_ || waited.back().revents != 0) return -1;
      return ready > 0 ? 1 : 0;
    }
  }

  Fd event_{};
  std::atomic<bool> shut_{false};
};

/// OpenSSL works on memory; the socket is read and written outside its lock. So a reader and a writer do not wait for
/// each other's system calls (an SSL object may not be used by two threads at once), and one send carries many records.
class TlsStream final : public Stream {
 public:
  TlsStream(Fd socket, std::shared_ptr<Stopper> stopper) : socket_(std::move(socket)), stopper_(std::move(stopper)) {}

  void begin_handshake(SSL_CTX* context, bool server) {
    ssl_.reset(SSL_new(context));
    BIO* network = BIO_new(buffer_method());
    BIO_set_data(network, this);
    BIO_set_init(network, 1);
    SSL_set_bio(ssl_.get(), network, network);
    if (server) {
      SSL_set_accept_state(ssl_.get());
    } else {
      SSL_set_connect_state(ssl_.get());
    }
  }

  /// With what has come so far; never waits. True: done, and the peer is who it must be. False: more must come.
  Result<bool> go_on_with_handshake(const std::string& peer) {
    for (;;) {
      ERR_clear_error();
      const int done = SSL_do_handshake(ssl_.get());
      const int why = SSL_get_error(ssl_.get(), done);
      take_ciphertext();
      // A handshake fits into the buffer of a new socket: a peer for which it does not is none.
      const Status sent = send_ciphertext(Duration{0});
      if (done == 1) {
        SK_TRY_VOID(sent);
        SK_TRY_VOID(check_peer(peer));
        return true;
      }
      if (why != SSL_ERROR_WANT_READ) return handshake_error();
      SK_TRY_VOID(sent);
      SK_TRY(const bool received, receive());
      if (!received) return false;
    }
  }
  [[nodiscard]] int socket() const { return socket_.get(); }

  Status write(BytesView bytes, Duration timeout) override {
    const std::lock_guard sending{send_mutex_};
    while (!bytes.empty()) {
      const BytesView piece = bytes.first(std::min(bytes.size(), kWritePieceBytes));
      {
        const std::lock_guard lock{ssl_mutex_};
        std::size_t done = 0;
        ERR_clear_error();
        if (SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &done) != 1 || done != piece.size()) {
          return Error{Code::Unavailable, "TLS: " + tls_errors()};
        }
        take_ciphertext();
      }
      SK_TRY_VOID(send_ciphertext(timeout));
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) override {
    const SteadyTime end = after(timeout);
    for (;;) {
      SK_TRY(const std::size_t had, decrypt(into));
      if (had > 0) return had;
      SK_TRY(const bool received, receive());
      if (received) continue;
      if (timeout <= Duration{0}) return std::size_t{0};
      const int ready = stopper_->wait(socket_.get(), POLLIN, end);
      if (ready == 0) return std::size_t{0};
      if (ready < 0) return Error{Code::Unavailable, "the connection was ended"};
    }
  }

  void shut() override {
    stopper_->shut();
    ::shutdown(socket_.get(), SHUT_RDWR);
  }

 private:
  /// Fills as much as is there. Zero: more must be received.
  Result<std::size_t> decrypt(std::span<std::uint8_t> into) {
    const std::lock_guard lock{ssl_mutex_};
    std::size_t filled = 0;
    while (filled < into.size()) {
      std::size_t done = 0;
      ERR_clear_error();
      const int ok = SSL_read_ex(ssl_.get(), into.data() + filled, into.size() - filled, &done);
      if (ok == 1) {
        filled += done;
        continue;
      }
      if (filled > 0 || SSL_get_error(ssl_.get(), ok) == SSL_ERROR_WANT_READ) break;
      return Error{Code::Unavailable, "TLS: the peer ended the connection: " + tls_errors()};
    }
    return filled;
  }

  /// One recv, once OpenSSL has taken all that had come. False: nothing there now. Called by the one reader.
  Result<bool> receive() {
    if (!cipher_rest_.empty()) return true;
    if (cipher_in_.empty()) cipher_in_.resize(kReadPieceBytes);
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), cipher_in_.data(), cipher_in_.size(), MSG_DONTWAIT);
      if (got > 0) {
        cipher_rest_ = BytesView{cipher_in_}.first(static_cast<std::size_t>(got));
        return true;
      }
      if (got == 0) return Error{Code::Unavailable, "the peer closed the connection"};
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      return Error{Code::Unavailable, std::strerror(errno)};
    }
  }

  /// Where OpenSSL reads and writes, without the copies that its own memory buffers cost.
  static const BIO_METHOD* buffer_method() {
    static BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "safekit buffers");
      BIO_meth_set_write_ex(made, [](BIO* bio, const char* bytes, std::size_t size, std::size_t* done) {
        Bytes& out = static_cast<TlsStream*>(BIO_get_data(bio))->cipher_out_;
        const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes);
        out.insert(out.end(), begin, begin + size);
        *done = size;
        return 1;
      });
      BIO_meth_set_read_ex(made, [](BIO* bio, char* bytes, std::size_t size, std::size_t* done) {
        BytesView& rest = static_cast<TlsStream*>(BIO_get_data(bio))->cipher_rest_;
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

  /// Caller holds send_mutex_ and ssl_mutex_ (or is alone, in the handshake).
  void take_ciphertext() {
    sending_.clear();
    std::swap(sending_, cipher_out_);
  }

  /// What was taken. Caller holds send_mutex_ (or is alone, in the handshake).
  Status send_ciphertext(Duration timeout) {
    BytesView rest{sending_};
    while (!rest.empty()) {
      const ssize_t done = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (done > 0) {
        rest = rest.subspan(static_cast<std::size_t>(done));
        continue;
      }
      if (done < 0 && errno == EINTR) continue;
      if (done < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return Error{Code::Unavailable, std::strerror(errno)};
      const int ready = stopper_->wait(socket_.get(), POLLOUT, after(timeout));
      if (ready == 0) return Error{Code::Timeout, "the peer takes no data"};
      if (ready < 0) return Error{Code::Unavailable, "the connection was ended"};
    }
    return {};
  }

  Error handshake_error() const {
    const long verified = SSL_get_verify_result(ssl_.get());
    if (verified != X509_V_OK) {
      return Error{Code::Denied, fmt::format("the peer's certificate is not accepted: {}; check the cluster authority and "
                                             "the clocks of both nodes", X509_verify_cert_error_string(verified))};
    }
    return Error{Code::Denied, fmt::format("TLS handshake: {}; check that both nodes have certificates of one cluster",
                                           tls_errors())};
  }

  Status check_peer(const std::string& expected) const {
    const std::unique_ptr<X509, SslDelete> certificate{SSL_get1_peer_certificate(ssl_.get())};
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

  Fd socket_{};
  std::shared_ptr<Stopper> stopper_{};
  std::mutex send_mutex_{};
  std::mutex ssl_mutex_{};
  std::unique_ptr<SSL, SslDelete> ssl_{};
  Bytes cipher_in_{};
  BytesView cipher_rest_{};  ///< of cipher_in_, for OpenSSL to take
  Bytes cipher_out_{};       ///< from OpenSSL; under ssl_mutex_, for a reader makes alerts too
  Bytes sending_{};          ///< the writer's
};

Result<SslContext> make_context(const TlsPeer& peer, bool server) {
  SslContext context{SSL_CTX_new(server ? TLS_server_method() : TLS_client_method())};
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_options(raw, SSL_OP_IGNORE_UNEXPECTED_EOF);
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

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length{0};
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Result<SocketAddress> socket_address(const std::string& address, std::uint16_t port) {
  SocketAddress result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    result.length = sizeof *v4;
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    result.length = sizeof *v6;
  } else {
    return Error{Code::Invalid, fmt::format("'{}' is no IP address", address)};
  }
  return result;
}

void tune(int fd, Duration silence_max) {
  // Each is only an improvement: heartbeat frames find a silent peer without them.
  const int on = 1;
  const auto silent = static_cast<unsigned>(std::chrono::duration_cast<milliseconds>(silence_max).count());
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof silent);
}

class TlsSource : public StreamSource {
 public:
  TlsSource(TlsPeer peer, std::string address, std::uint16_t port)
      : peer_(std::move(peer)), address_(std::move(address)), port_(port) {}
  void shut() override { stopper_.shut(); }

 protected:
  Result<std::unique_ptr<TlsStream>> begin(Fd socket, bool server) {
    tune(socket.get(), peer_.silence_max);
    SK_TRY(const auto context, make_context(peer_, server));
    auto stream = std::make_unique<TlsStream>(std::move(socket), std::make_shared<Stopper>());
    stream->begin_handshake(context.get(), server);
    return stream;
  }
  [[nodiscard]] std::string where() const { return fmt::format("{} port {}", address_, port_); }

  TlsPeer peer_{};
  std::string address_{};
  std::uint16_t port_{0};
  Stopper stopper_{};
};

class TlsConnector final : public TlsSource {
 public:
  using TlsSource::TlsSource;
  Result<std::unique_ptr<Stream>> next(Duration timeout) override {
    SK_TRY(const auto target, socket_address(address_, port_));
    Fd socket{::socket(target.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return Error{Code::Io, fmt::format("socket: {}", std::strerror(errno))};
    if (::connect(socket.get(), target.get(), target.length) != 0 && errno != EINPROGRESS) {
      return Error{Code::Unavailable, fmt::format("{}: {}", where(), std::strerror(errno))};
    }
    const int ready = stopper_.wait(socket.get(), POLLOUT, after(timeout));
    if (ready == 0) return Error{Code::Timeout, fmt::format("{}: no answer", where())};
    if (ready < 0) return Error{Code::Unavailable, "connecting was ended"};
    int failed = 0;
    socklen_t length = sizeof failed;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failed, &length);
    if (failed != 0) return Error{Code::Unavailable, fmt::format("{}: {}", where(), std::strerror(failed))};
    SK_TRY(auto stream, begin(std::move(socket), false));
    for (const SteadyTime end = after(std::min(timeout, kHandshakeMax));;) {
      SK_TRY(const bool done, stream->go_on_with_handshake(peer_.peer));
      if (done) return std::unique_ptr<Stream>{std::move(stream)};
      if (const int come = stopper_.wait(stream->socket(), POLLIN, end); come <= 0) {
        return Error{come == 0 ? Code::Timeout : Code::Unavailable, "no answer to the TLS handshake"};
      }
    }
  }
};

/// Handshakes go on beside each other, from one call to the next: one that stalls holds up neither the caller nor another.
class TlsListener final : public TlsSource {
 public:
  using TlsSource::TlsSource;
  Result<std::unique_ptr<Stream>> next(Duration timeout) override {
    if (!listener_) SK_TRY_VOID(listen());
    for (const SteadyTime end = after(timeout);;) {
      const SteadyTime now = std::chrono::steady_clock::now();
      std::erase_if(under_way_, [&](const UnderWay& one) { return one.end <= now; });
      std::vector<pollfd> waited{{listener_.get(), POLLIN, 0}};
      SteadyTime until = end;
      for (const UnderWay& one : under_way_) {
        waited.push_back({one.stream->socket(), POLLIN, 0});
        until = std::min(until, one.end);
      }
      const int ready = stopper_.wait(waited, until);
      if (ready < 0) return Error{Code::Unavailable, "listening was ended"};
      if (ready == 0 && std::chrono::steady_clock::now() >= end) return Error{Code::Timeout, "no peer has connected"};
      for (std::size_t i = under_way_.size(); i > 0; --i) {
        if (waited[i].revents == 0) continue;
        auto done = go_on(i - 1);
        if (!done || *done) return done;
      }
      if (waited[0].revents == 0) continue;
      auto done = accept();
      if (!done || *done) return done;
    }
  }

 private:
  struct UnderWay {
    std::unique_ptr<TlsStream> stream{};
    SteadyTime end{};
  };

  Result<std::unique_ptr<Stream>> accept() {
    Fd socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) return Error{Code::Unavailable, fmt::format("accept: {}", std::strerror(errno))};
    SK_TRY(auto stream, begin(std::move(socket), true));
    if (under_way_.size() == kHandshakesMax) under_way_.erase(under_way_.begin());
    under_way_.push_back({std::move(stream), after(kHandshakeMax)});
    return go_on(under_way_.size() - 1);
  }

  /// Nothing while it is not done.
  Result<std::unique_ptr<Stream>> go_on(std::size_t index) {
    const auto done = under_way_[index].stream->go_on_with_handshake(peer_.peer);
    if (done && !*done) return std::unique_ptr<Stream>{};
    std::unique_ptr<Stream> stream = std::move(under_way_[index].stream);
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(index));
    if (done) return stream;
    // Who only looked at the port, and went, is not worth a word.
    if (done.error().code == Code::Unavailable || done.error().code == Code::Timeout) return std::unique_ptr<Stream>{};
    return done.error();
  }

  Status listen() {
    SK_TRY(const auto own, socket_address(address_, port_));
    Fd socket{::socket(own.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
      return Error{Code::Io, fmt::format("socket: {}", std::strerror(errno))};
    }
    if (::bind(socket.get(), own.get(), own.length) != 0 || ::listen(socket.get(), kListenBacklog) != 0) {
      return Error{Code::Io, fmt::format("cannot listen on {}: {}{}", where(), std::strerror(errno),
                                         errno == EADDRINUSE ? "; another program uses the port" : "")};
    }
    listener_ = std::move(socket);
    return {};
  }

  Fd listener_{};
  std::vector<UnderWay> under_way_{};  ///< oldest first
};

}  // namespace

std::unique_ptr<StreamSource> make_tls_connector(TlsPeer peer, std::string address, std::uint16_t port) {
  return std::make_unique<TlsConnector>(std::move(peer), std::move(address), port);
}

std::unique_ptr<StreamSource> make_tls_listener(TlsPeer peer, std::string address, std::uint16_t port) {
  return std::make_unique<TlsListener>(std::move(peer), std::move(address), port);
}

}  // namespace safekit
