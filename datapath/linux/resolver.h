#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "schema/base/result.h"
#include "schema/port/loop.h"

namespace safekit::linux_os {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size{0};
};
/// Of an address as text (brackets around IPv6 are fine) or `localhost`; nothing for any other name.
[[nodiscard]] std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port);

/// Looks names up on threads of their own. A service; what is under way when it goes is given up, and its
/// tasks do not run. Thread: the loop's.
class Resolver {
 public:
  explicit Resolver(Loop& loop);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  /// The task runs once, on the loop: an address, or NotFound. Not at all where kLookUpsMax hang: the caller
  /// has a time-out.
  void look_up(const std::string& host, std::uint16_t port, std::function<void(Result<SocketAddress>)> task);

  static constexpr int kLookUpsMax = 8;  ///< a resolver that hangs must not collect threads without end

 private:
  struct Shared;
  Loop& loop_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace safekit::linux_os
