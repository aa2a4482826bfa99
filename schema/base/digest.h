#pragma once

#include <cstdint>
#include <string>

#include "schema/base/bytes.h"

namespace safekit {

/// 128-bit content digest (XXH3): tells different contents apart, protects against no attacker. A value.
struct Digest128 {
  std::uint64_t high{0};
  std::uint64_t low{0};
  friend constexpr auto operator<=>(const Digest128&, const Digest128&) = default;
};
[[nodiscard]] Digest128 digest128(BytesView bytes);
/// 32 lower-case hexadecimal digits.
[[nodiscard]] std::string to_string(Digest128 digest);

/// Checksum of records on disk and on the wire (the low 32 bits of XXH3-64: faster than CRC32C here, and as good at
/// finding torn writes).
[[nodiscard]] std::uint32_t checksum32(BytesView bytes);

}  // namespace safekit
