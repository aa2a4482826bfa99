#pragma once

#include <cstdint>

#include "schema/base/time.h"

namespace safekit::resync {

/// Is what a synchronisation sends to be packed? It is when the line is what holds it up, and packing is faster than the line. When
/// the peer's disk, or this node, is the bound, packing would only cost processors. A value; pure.
/// Not packed --(the line was the bound in most of the last looks)--> packed --(in none of them, or there was none)--> not packed
class PackingChoice {
 public:
  /// What is known when a synchronisation begins to wait until the peer has more of what it has sent, and when it has waited.
  struct Look {
    MonoTime now{};
    std::uint64_t unacknowledged{0};  ///< bytes of the synchronisation that the peer has not applied
    std::uint64_t unconfirmed{0};     ///< bytes that are not with the peer's kernel
    Duration held_back{};             ///< in all, so long the peer's kernel had no room; the sum of all connections
    std::uint32_t connections{1};
    std::uint64_t sent{0};            ///< bytes of the synchronisation, in all, as they are on the line
    bool has_waited{false};
  };
  static constexpr Duration kLookEvery = milliseconds{10};
  static constexpr Duration kForgetAfter = seconds{1};  ///< nothing waited for the line so long: it is not the bound
  static constexpr Duration kTryAgainAfter = seconds{10};
  void look(const Look& look);
  /// Another look says something; to spare those that would not.
  [[nodiscard]] bool is_due(MonoTime now) const { return !has_looked_ || now - last_.now >= kLookEvery; }

  /// For the next piece. One that is asked for is packed and told of by `packed`, or passed over, in this order.
  [[nodiscard]] bool wants(MonoTime now);
  /// It was, or it was tried: `packed_bytes` as many as it has if it would have saved nothing.
  void packed(std::uint64_t bytes, std::uint64_t packed_bytes, Duration took, MonoTime now);

 private:
  static constexpr int kScoreMax = 8;
  static constexpr int kScoreToBegin = 5;
  static constexpr unsigned kMissesMax = 6;  ///< then one of 64 pieces is tried

  bool has_looked_{false};
  Look last_{};
  int score_{0};          ///< looks that found the line to be the bound, less those that did not
  bool is_packing_{false};
  double line_rate_{0};   ///< bytes per second; 0: not known
  double pack_rate_{0};   ///< bytes per second that went in; 0: not known
  MonoTime packed_at_{};
  unsigned misses_{0};    ///< pieces in a row of which packing saved nothing
  std::uint32_t skip_{0};  ///< pieces that are not tried, so that what cannot be packed costs little on a fairly fast line
};

}  // namespace safekit::resync
