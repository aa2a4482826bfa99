#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "schema/base/bytes.h"
#include "schema/base/result.h"
#include "schema/base/time.h"

namespace safekit {

/// A connection to a peer whose identity has been checked. Blocking calls, for threads of their own, not for the loop.
/// Thread: any number of writers (each `write` is whole), one reader, `shut` from any.
class Stream {
 public:
  virtual ~Stream() = default;
  /// Sends everything. Errors: Timeout when nothing could be sent for so long, Unavailable when the connection is gone.
  virtual Status write(BytesView bytes, Duration timeout) = 0;
  /// At least one byte, or 0 when none came in time. Errors: Unavailable when the connection is gone.
  virtual Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) = 0;
  /// What the system knows of what was written; any thread. Zeros: nothing is known.
  struct Line {
    std::uint64_t unconfirmed{0};  ///< bytes that the peer's system has not confirmed
    Duration held_back{};          ///< in all, so long it had no room for more; of several connections the sum
    std::uint32_t connections{1};
  };
  [[nodiscard]] virtual Line line() const { return {}; }
  /// Ends the connection; calls that wait return.
  virtual void shut() = 0;
};

/// Makes connections to one peer. Thread: one caller, `shut` from any.
class StreamSource {
 public:
  virtual ~StreamSource() = default;
  /// Connects to the peer, or waits for it to connect. Errors: Timeout; Unavailable (refused, unreachable); Denied (a
  /// certificate that is not the peer's); Io with the system's text (port taken, file missing).
  virtual Result<std::unique_ptr<Stream>> next(Duration timeout) = 0;
  /// A call that waits returns; later ones fail.
  virtual void shut() = 0;
};

}  // namespace safekit
