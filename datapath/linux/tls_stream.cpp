#include "datapath/linux/tls_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "datapath/linux/tls_bundle.h"
#include "datapath/linux/tls_connection.h"

namespace safekit {

namespace {

using tls::after;
using tls::Connection;
using tls::SteadyTime;

constexpr Duration kHandshakeMax = seconds{5};
constexpr int kListenBacklog = 2 * static_cast<int>(bundle::kConnectionsMax);
constexpr int kKeepAliveSeconds = 30;
constexpr std::size_t kHandshakesMax = 2 * bundle::kConnectionsMax;  ///< under way at once at a listener; one more ends the oldest

class TlsStream final : public Stream {
 public:
  explicit TlsStream(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  Status write(BytesView bytes, Duration timeout) override {
    const std::lock_guard sending{send_mutex_};
    while (!bytes.empty()) {
      const BytesView piece = bytes.first(std::min(bytes.size(), Connection::kWritePieceBytes));
      connection_->encrypt(piece);
      for (;;) {
        SK_TRY(const bool sent, connection_->send_some());
        if (sent) break;
        const int ready = stopper_.wait(connection_->socket(), POLLOUT, after(timeout));
        if (ready == 0) return Error{Code::Timeout, "the peer takes no data"};
        if (ready < 0) return Error{Code::Unavailable, "the connection was ended"};
      }
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) override {
    const SteadyTime end = after(timeout);
    for (;;) {
      SK_TRY(const std::size_t got, connection_->read_some(into));
      if (got > 0 || timeout <= Duration{0}) return got;
      const int ready = stopper_.wait(connection_->socket(), POLLIN, end);
      if (ready == 0) return std::size_t{0};
      if (ready < 0) return Error{Code::Unavailable, "the connection was ended"};
    }
  }

  [[nodiscard]] Line line() const override { return connection_->line(); }

  void shut() override {
    stopper_.shut();
    ::shutdown(connection_->socket(), SHUT_RDWR);
  }

 private:
  std::unique_ptr<Connection> connection_{};
  tls::Stopper stopper_{};
  std::mutex send_mutex_{};
};

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
  // Of several connections some carry nothing for hours: no firewall on the way may forget them.
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof silent);
}

class TlsSource : public StreamSource {
 public:
  TlsSource(TlsPeer peer, std::string address, std::uint16_t port)
      : peer_(std::move(peer)), address_(std::move(address)), port_(port) {}
  void shut() override { stopper_.shut(); }

 protected:
  [[nodiscard]] std::string where() const { return fmt::format("{} port {}", address_, port_); }

  TlsPeer peer_{};
  std::string address_{};
  std::uint16_t port_{0};
  tls::Stopper stopper_{};
};

class TlsConnector final : public TlsSource {
 public:
  using TlsSource::TlsSource;
  Result<std::unique_ptr<Stream>> next(Duration timeout) override {
    const std::size_t count = std::clamp<std::size_t>(peer_.connections, 1, bundle::kConnectionsMax);
    SK_TRY(const auto context, tls::make_context(peer_, false, count > 1));
    SK_TRY(auto connections, connect(context.get(), 1, timeout));
    // A peer of an earlier release knows only one.
    if (!connections[0]->is_of_bundle()) return std::unique_ptr<Stream>{std::make_unique<TlsStream>(std::move(connections[0]))};
    SK_TRY(auto others, connect(context.get(), count - 1, timeout));
    std::ranges::move(others, std::back_inserter(connections));
    bundle::Place place{.count = static_cast<std::uint8_t>(count)};
    if (RAND_bytes(place.bundle.data(), static_cast<int>(place.bundle.size())) != 1) {
      return Error{Code::Exhausted, "no random numbers"};
    }
    for (const auto& connection : connections) {
      if (!connection->is_of_bundle()) return Error{Code::Unavailable, "the peer was replaced meanwhile"};
      connection->encrypt(bundle::encode(place));
      SK_TRY(const bool sent, connection->send_some());
      if (!sent) return Error{Code::Unavailable, "a new connection takes no data"};
      ++place.index;
    }
    return std::unique_ptr<Stream>{std::make_unique<tls::Bundle>(std::move(connections))};
  }

 private:
  /// Beside each other, so that several take no longer than one.
  Result<std::vector<std::unique_ptr<Connection>>> connect(SSL_CTX* context, std::size_t count, Duration timeout) {
    SK_TRY(const auto target, socket_address(address_, port_));
    std::vector<Fd> sockets(count);
    for (Fd& socket : sockets) {
      socket.reset(::socket(target.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!socket) return Error{Code::Io, fmt::format("socket: {}", std::strerror(errno))};
      if (::connect(socket.get(), target.get(), target.length) != 0 && errno != EINPROGRESS) {
        return Error{Code::Unavailable, fmt::format("{}: {}", where(), std::strerror(errno))};
      }
    }
    std::vector<std::unique_ptr<Connection>> connections;
    for (const SteadyTime end = after(timeout); Fd& socket : sockets) {
      SK_TRY_VOID(await_connected(socket.get(), end));
      tune(socket.get(), peer_.silence_max);
      connections.push_back(std::make_unique<Connection>(std::move(socket), context, false));
      SK_TRY_VOID(connections.back()->go_on_with_handshake(peer_.peer));  // it has begun
    }
    for (const SteadyTime end = after(std::min(timeout, kHandshakeMax)); const auto& connection : connections) {
      SK_TRY_VOID(await_handshake(*connection, end));
    }
    return connections;
  }

  Status await_connected(int socket, SteadyTime end) {
    const int ready = stopper_.wait(socket, POLLOUT, end);
    if (ready == 0) return Error{Code::Timeout, fmt::format("{}: no answer", where())};
    if (ready < 0) return Error{Code::Unavailable, "connecting was ended"};
    int failed = 0;
    socklen_t length = sizeof failed;
    ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &failed, &length);
    if (failed != 0) return Error{Code::Unavailable, fmt::format("{}: {}", where(), std::strerror(failed))};
    return {};
  }

  Status await_handshake(Connection& connection, SteadyTime end) {
    for (;;) {
      SK_TRY(const bool done, connection.go_on_with_handshake(peer_.peer));
      if (done) return {};
      if (const int come = stopper_.wait(connection.socket(), POLLIN, end); come <= 0) {
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
        waited.push_back({one.connection->socket(), POLLIN, 0});
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
    std::unique_ptr<Connection> connection{};
    SteadyTime end{};
    bool has_shaken_hands{false};
    std::array<std::uint8_t, bundle::kPlaceBytes> place{};  ///< where it is of a bundle
    std::size_t place_bytes{0};                             ///< so far
  };

  Result<std::unique_ptr<Stream>> accept() {
    Fd socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) return Error{Code::Unavailable, fmt::format("accept: {}", std::strerror(errno))};
    tune(socket.get(), peer_.silence_max);
    SK_TRY(const auto context, tls::make_context(peer_, true, true));
    if (under_way_.size() == kHandshakesMax) under_way_.erase(under_way_.begin());
    under_way_.push_back({.connection = std::make_unique<Connection>(std::move(socket), context.get(), true),
                          .end = after(kHandshakeMax)});
    return go_on(under_way_.size() - 1);
  }

  /// Nothing while it is not done.
  Result<std::unique_ptr<Stream>> go_on(std::size_t index) {
    const auto done = step(under_way_[index]);
    if (done && !*done) return std::unique_ptr<Stream>{};
    UnderWay one = std::move(under_way_[index]);
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(index));
    if (done) return finish(std::move(one));
    // Who only looked at the port, and went, is not worth a word.
    if (done.error().code == Code::Unavailable || done.error().code == Code::Timeout) return std::unique_ptr<Stream>{};
    return done.error();
  }

  /// True: it is the peer, and what it is for is known.
  Result<bool> step(UnderWay& one) {
    if (!one.has_shaken_hands) {
      SK_TRY(one.has_shaken_hands, one.connection->go_on_with_handshake(peer_.peer));
      if (!one.has_shaken_hands) return false;
    }
    if (!one.connection->is_of_bundle()) return true;
    SK_TRY(const std::size_t got, one.connection->read_some(std::span{one.place}.subspan(one.place_bytes)));
    one.place_bytes += got;
    return one.place_bytes == one.place.size();
  }

  Result<std::unique_ptr<Stream>> finish(UnderWay one) {
    if (!one.connection->is_of_bundle()) return std::unique_ptr<Stream>{std::make_unique<TlsStream>(std::move(one.connection))};
    SK_TRY(const auto place, bundle::decode_place(one.place));
    SK_TRY(auto complete, gathering_.add(std::move(one.connection), place));
    if (complete.empty()) return std::unique_ptr<Stream>{};
    return std::unique_ptr<Stream>{std::make_unique<tls::Bundle>(std::move(complete))};
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
  tls::Gathering gathering_{};
};

}  // namespace

std::unique_ptr<StreamSource> make_tls_connector(TlsPeer peer, std::string address, std::uint16_t port) {
  return std::make_unique<TlsConnector>(std::move(peer), std::move(address), port);
}

std::unique_ptr<StreamSource> make_tls_listener(TlsPeer peer, std::string address, std::uint16_t port) {
  return std::make_unique<TlsListener>(std::move(peer), std::move(address), port);
}

}  // namespace safekit
