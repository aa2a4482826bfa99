#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "datapath/journal/zone_map.h"

namespace safekit::replica {

/// The zones that are marked as changed. Pure.
[[nodiscard]] std::vector<std::uint64_t> zones_of(const journal::InodeMarks& marks);

/// First and end of zones that may differ; neighbours as one. Pure.
[[nodiscard]] std::vector<std::pair<std::uint64_t, std::uint64_t>> zones_in_doubt(const journal::GroupSet& groups);

}  // namespace safekit::replica
