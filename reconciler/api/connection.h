#pragma once

#include <memory>
#include <string>

#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/port/crypto.h"

namespace safekit::api {

/// How a server proves itself: a key and a certificate, TLS 1.2 or newer. Thread: any, once made. A service.
class TlsIdentity {
 public:
  /// Errors: Invalid for PEM that cannot be read or a key that does not belong to the certificate.
  /// `certificate_pem` may hold the authority after the node's own certificate.
  static Result<std::shared_ptr<TlsIdentity>> make(const Identity& identity);
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;
  ~TlsIdentity();
  struct Impl;
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  explicit TlsIdentity(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// The server's end of one accepted socket, plain or TLS; closes it. Thread: one; the socket may be shut down
/// by another.
class Connection {
 public:
  static constexpr Duration kReadLimit = seconds{10};
  static constexpr Duration kWriteLimit = seconds{10};
  explicit Connection(int fd);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();
  /// From here on TLS. False: it failed, close.
  [[nodiscard]] bool handshake(const std::shared_ptr<TlsIdentity>& identity);
  [[nodiscard]] int fd() const { return fd_; }
  /// Bytes are there, or the other side has ended.
  [[nodiscard]] bool wait_readable(Duration limit);
  /// Like read(2); waits kReadLimit at most, then -1.
  [[nodiscard]] std::ptrdiff_t read(char* out, std::size_t size);
  [[nodiscard]] std::ptrdiff_t write(const char* data, std::size_t size);

 private:
  struct Tls;
  int fd_{-1};
  std::shared_ptr<TlsIdentity> identity_{};
  std::unique_ptr<Tls> tls_{};
};

}  // namespace safekit::api
