#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "schema/base/digest.h"
#include "schema/base/result.h"

namespace safekit::resync {

/// Digests of `count` zones from `first` on. A zone is what lies in the file of it: short at the end, of no bytes behind
/// it. Errors: Io. Reads without locks: see docs/resync.md for why that is enough.
Result<std::vector<Digest128>> digest_zones(int fd, std::uint32_t zone_bytes, std::uint64_t first, std::size_t count);

/// A piece of a file: bytes that are there, or a hole.
struct Segment {
  std::uint64_t offset{0};
  std::uint64_t size{0};
  bool hole{false};
};
/// The segment that begins at `offset`, at most up to `end`; nothing at or behind the end of the file.
[[nodiscard]] std::optional<Segment> segment_at(int fd, std::uint64_t offset, std::uint64_t end);

}  // namespace safekit::resync
