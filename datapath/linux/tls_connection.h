#pragma once

#include <openssl/ssl.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datapath/linux/fd.h"
#include "datapath/linux/tls_record.h"
#include "datapath/linux/tls_stream.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/port/stream.h"

/// What the streams of tls_stream.h are made of; only for them.
namespace safekit::tls {

using SteadyTime = std::chrono::steady_clock::time_point;
[[nodiscard]] inline SteadyTime after(Duration timeout) { return std::chrono::steady_clock::now() + timeout; }

struct SslDelete {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslDelete>;
/// `bundles`: this side can make several connections one stream (ALPN); a server always can.
Result<SslContext> make_context(const TlsPeer& peer, bool server, bool bundles);

/// Wakes pollers for good once shut.
class Stopper {
 public:
  Stopper();
  void shut();
  /// 1 ready, 0 timed out, -1 shut or broken.
  int wait(int fd, short events, SteadyTime end) const;
  /// For any of them; one more is added for the stop.
  int wait(std::vector<pollfd>& waited, SteadyTime end) const;

 private:
  int wait_all(std::span<pollfd> waited, SteadyTime end) const;

  Fd event_{};
  std::atomic<bool> shut_{false};
};

/// One connection; nothing here waits. The handshake is OpenSSL's, which works on memory; the records that follow are our own
/// (tls_record.h). So a reader and a writer share nothing, and one send carries many records.
/// Thread: one reader, one writer. Errors: Unavailable when the connection is gone.
class Connection {
 public:
  static constexpr std::size_t kWritePieceBytes = 256U << 10;  ///< encrypted at once, so sent with few system calls

  Connection(Fd socket, SSL_CTX* context, bool server);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// With what has come so far. True: done (also before this call), and the peer is who it must be. False: more must come.
  Result<bool> go_on_with_handshake(const std::string& peer);
  /// After the handshake: the other side can make several connections one stream, and expects to be told of which this is one.
  [[nodiscard]] bool is_of_bundle() const { return is_of_bundle_; }

  /// Only when there is nothing unsent; the bytes are taken.
  void encrypt(BytesView bytes);
  /// True: all is with the kernel. False: it takes no more now.
  Result<bool> send_some();
  [[nodiscard]] bool has_unsent() const { return !unsent_.empty(); }
  /// Bytes that the peer's kernel has not confirmed yet.
  [[nodiscard]] std::uint64_t unconfirmed() const;
  [[nodiscard]] Stream::Line line() const;

  /// As much as is there; zero: nothing is.
  Result<std::size_t> read_some(std::span<std::uint8_t> into);

  [[nodiscard]] int socket() const { return socket_.get(); }

 private:
  static const BIO_METHOD* buffer_method();
  /// Secrets that come up in a handshake, as SSLKEYLOGFILE has them: the one way in which OpenSSL gives them out.
  static void note_secret(const SSL* ssl, const char* line);
  Status begin_records();
  Result<std::size_t> decrypt(std::span<std::uint8_t> into);
  Result<std::optional<std::size_t>> take_record(std::span<std::uint8_t> into);
  Result<bool> receive();
  [[nodiscard]] Error handshake_error() const;
  Status check_peer(const std::string& expected) const;

  Fd socket_{};
  const bool server_;
  /// Until its end.
  struct Handshake {
    std::unique_ptr<SSL, SslDelete> ssl{};
    Bytes made{};  ///< by OpenSSL
    Bytes sending{};
    TrafficSecret client{};
    TrafficSecret server{};
  };
  std::unique_ptr<Handshake> handshake_{};
  bool is_of_bundle_{false};

  // The writer's:
  std::optional<RecordSealer> sealer_{};
  BytesView unsent_{};  ///< of the sealer, or of the handshake

  // The reader's:
  std::optional<RecordOpener> opener_{};
  Bytes received_{};
  BytesView rest_{};    ///< of received_: not taken yet
  Bytes content_{};     ///< of a record for which there was no room
  BytesView unread_{};  ///< of content_
  std::optional<Error> ended_{};

  std::atomic<bool> key_change_asked_{false};  ///< of the writer, by the reader
};

}  // namespace safekit::tls
