#pragma once

#include <atomic>
#include <memory>

#include "schema/port/stream.h"

namespace safekit::replica {

/// Bytes over all connections of a source.
struct StreamCount {
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> sent{0};
};

/// The same source, with what goes through its streams counted. `count` outlives it and the streams.
[[nodiscard]] std::unique_ptr<StreamSource> counted(std::unique_ptr<StreamSource> source, StreamCount& count);

}  // namespace safekit::replica
