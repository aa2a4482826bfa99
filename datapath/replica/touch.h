#pragma once

#include <vector>

#include "datapath/replica/window.h"
#include "datapath/wire/operation.h"

namespace safekit::replica {

/// What an operation changes. Pure.
[[nodiscard]] Touch touch_of(const wire::Operation& operation);
/// The ids that the peer must know to perform it; 0 where there is none. Pure.
[[nodiscard]] std::array<InodeId, 2> needed_ids(const wire::Operation& operation);
/// Create, Link, Remove, Rename: the caller of Sink::append holds names exclusively.
[[nodiscard]] bool changes_names(const wire::Operation& operation);

}  // namespace safekit::replica
