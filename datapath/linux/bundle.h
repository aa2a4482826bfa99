#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "schema/base/bytes.h"
#include "schema/base/result.h"

/// Several connections that carry one ordered stream of bytes (docs/wire.md, "Several connections"). The sender cuts the stream
/// into numbered pieces and puts each on whichever connection it likes; on one connection the numbers only grow.
namespace safekit::bundle {

inline constexpr std::size_t kConnectionsMax = 16;
inline constexpr std::size_t kPlaceBytes = 24;
inline constexpr std::size_t kPieceHeadBytes = 12;
inline constexpr std::size_t kPieceBytesMax = (64U << 10) - kPieceHeadBytes;  ///< with its head four whole records of TLS

/// First bytes of each connection, from who connects: which bundle it is of.
struct Place {
  std::array<std::uint8_t, 16> bundle{};  ///< random
  std::uint8_t count{0};                  ///< connections in the bundle
  std::uint8_t index{0};
  friend bool operator==(const Place&, const Place&) = default;
};
[[nodiscard]] std::array<std::uint8_t, kPlaceBytes> encode(const Place& place);
/// Errors: Corrupt.
Result<Place> decode_place(std::span<const std::uint8_t, kPlaceBytes> bytes);

struct PieceHead {
  std::uint64_t number{0};  ///< from 1, in each direction
  std::uint32_t bytes{0};   ///< behind the head
  friend bool operator==(const PieceHead&, const PieceHead&) = default;
};
void encode(const PieceHead& head, std::span<std::uint8_t, kPieceHeadBytes> into);
[[nodiscard]] PieceHead decode_head(std::span<const std::uint8_t, kPieceHeadBytes> bytes);

/// Which connection is to be read next, so that the pieces come in order. A value; pure.
/// Only one piece is ever read, the one that is due; of another one no more than its head is, so nothing is held here. It cannot
/// come to a standstill: a connection on which a later piece is first does not carry the one that is due.
class PieceOrder {
 public:
  explicit PieceOrder(std::size_t connections) : heads_(connections) {}
  /// Is the head of its next piece still to be read?
  [[nodiscard]] bool wants_head(std::size_t connection) const { return !heads_[connection].has_value(); }
  /// Only where one is wanted. Errors: Corrupt (length; a number that was already; none can be the one that is due).
  Status note(std::size_t connection, const PieceHead& head);
  struct Due {
    std::size_t connection{0};
    std::size_t bytes{0};  ///< of the piece, still to be read; never 0
  };
  /// Nothing while its head has not come.
  [[nodiscard]] std::optional<Due> due() const;
  /// So much of what is due was read.
  void read(std::size_t bytes);

 private:
  void find_due();
  std::vector<std::optional<PieceHead>> heads_{};
  std::uint64_t next_{1};
  std::optional<std::size_t> due_{};  ///< connection; the bytes of its head are what is left
};

/// Where the next piece goes: the connection with the least bytes that the peer's kernel has not confirmed, of equal ones the
/// first, so that small ones stay on one. Those without a number still have a part of an earlier piece to send. Pure.
[[nodiscard]] std::optional<std::size_t> choose(std::span<const std::optional<std::uint64_t>> unconfirmed);

}  // namespace safekit::bundle
