#include "schema/base/digest.h"

#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace safekit {

Digest128 digest128(BytesView bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {.high = hash.high64, .low = hash.low64};
}

std::string to_string(Digest128 digest) { return fmt::format("{:016x}{:016x}", digest.high, digest.low); }

std::uint32_t checksum32(BytesView bytes) { return static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())); }

}  // namespace safekit
