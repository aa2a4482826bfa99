#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "schema/base/result.h"

namespace safekit::spec {

/// Where a witness is: `https://10.0.0.9:9454/KEY`, `http://[fd00::9]:2379`. A value.
/// KEY is what `safekit witness --show` prints: 32 hexadecimal digits of a secret, 32 of the SHA-256 of the witness's certificate.
struct WitnessUrl {
  bool tls{false};
  std::string host{};  ///< without brackets
  std::uint16_t port{0};
  std::string secret{};
  std::string fingerprint{};  ///< the first 32 digits of it
  friend bool operator==(const WitnessUrl&, const WitnessUrl&) = default;
};

inline constexpr std::size_t kWitnessKeyHalf = 32;  ///< digits
inline constexpr std::uint16_t kWitnessPort = 9454;
inline constexpr std::uint16_t kEtcdPort = 2379;

enum class WitnessKey { Needed, None };
/// Errors: Invalid, with what is wrong with it.
[[nodiscard]] Result<WitnessUrl> parse_witness_url(std::string_view text, WitnessKey key);

}  // namespace safekit::spec
