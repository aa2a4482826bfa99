#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

/// Tries to open a TCP connection, as a client would, and closes it at once. Thread: the loop's.
class TcpProbe {
 public:
  virtual ~TcpProbe() = default;
  /// `host` is an address (brackets around IPv6 are fine) or a name; a name is looked up off the loop. The
  /// task runs once, on the loop: fine, or Timeout, Unavailable (refused, unreachable), NotFound (no such
  /// name).
  virtual void connect(const std::string& host, std::uint16_t port, Duration timeout,
                       std::function<void(Status)> task) = 0;
};

/// Asks a machine for an echo (ping). Thread: the loop's.
class EchoProbe {
 public:
  virtual ~EchoProbe() = default;
  /// `host` as above. The task runs once, on the loop: fine, or Timeout, Unavailable (no way there), NotFound (no such name).
  virtual void echo(const std::string& host, Duration timeout, std::function<void(Status)> task) = 0;
};

}  // namespace safekit
