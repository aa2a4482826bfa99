#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "datapath/linux/bundle.h"
#include "datapath/linux/tls_connection.h"
#include "schema/port/stream.h"

namespace safekit::tls {

/// Several connections as one stream. The loss of any one is the loss of all. Nothing is buffered: what comes before its turn stays
/// with the kernel, whose buffers then hold back the sender.
class Bundle final : public Stream {
 public:
  explicit Bundle(std::vector<std::unique_ptr<Connection>> connections);
  Status write(BytesView bytes, Duration timeout) override;
  Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) override;
  [[nodiscard]] Line line() const override;
  void shut() override;

 private:
  struct Incoming {
    std::array<std::uint8_t, bundle::kPieceHeadBytes> head{};
    std::size_t bytes{0};  ///< of head, so far
  };
  // Caller holds send_mutex_.
  Status put(BytesView piece, Duration timeout);
  Status wait_to_send(Duration timeout);
  // The reader's.
  Status look_for_heads();
  Result<std::size_t> read_now(std::span<std::uint8_t> into);

  std::vector<std::unique_ptr<Connection>> connections_{};
  Stopper stopper_{};
  std::mutex send_mutex_{};
  std::uint64_t sent_{0};  ///< pieces
  Bytes piece_{};
  bundle::PieceOrder order_;
  std::vector<Incoming> incoming_{};
};

/// At a listener: connections of the peer that are to become one stream. A new bundle takes the place of one that is not complete.
class Gathering {
 public:
  /// All of them, in their places, when this was the last one. Errors: Corrupt.
  Result<std::vector<std::unique_ptr<Connection>>> add(std::unique_ptr<Connection> connection, const bundle::Place& place);

 private:
  bundle::Place first_{};
  std::vector<std::unique_ptr<Connection>> members_{};
};

}  // namespace safekit::tls
