#pragma once

#include <cstdint>

#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::journal {

/// A file that holds one record: u32 magic, u32 version, u64 body bytes, body, u32 checksum of all before it.
[[nodiscard]] Bytes seal_record(std::uint32_t magic, std::uint32_t version, BytesView body);
/// The body. Errors: Corrupt (magic, length, checksum), Unsupported for a version above `version`.
Result<BytesView> open_record(std::uint32_t magic, std::uint32_t version, BytesView bytes);

}  // namespace safekit::journal
