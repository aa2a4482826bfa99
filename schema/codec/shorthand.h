#pragma once

#include <string_view>

#include "schema/doc/node.h"

/// The short ways of saying things that YAML and JSON have, taken out of and put into the tree of a spec.
/// They change the shape only; what a field means is decode's.
namespace safekit::codec {

/// `virtualIPs` becomes `vip.interfaces`, `processes` becomes `errd.processes`, an interface of a farm gets
/// its type. Positions stay with the values.
[[nodiscard]] doc::Node expand_shorthand(const doc::Node& spec, doc::Problems& problems);
/// The opposite, where nothing is lost by it.
[[nodiscard]] doc::Node fold_shorthand(const doc::Node& spec);

/// `{a: 1, b: {value: 2}}` to `[{key: a, value: 1}, {key: b, value: 2}]`.
[[nodiscard]] doc::Node keyed_to_list(const doc::Node& map, std::string_view key, std::string_view value);
/// The opposite; the list itself when a key comes twice or has no such form.
[[nodiscard]] doc::Node list_to_keyed(const doc::Node& list, std::string_view key, std::string_view value);

}  // namespace safekit::codec
