#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/doc/node.h"

namespace safekit::doc {

/// One JSON value; none when `problems` got a syntax error.
[[nodiscard]] std::vector<Node> parse_json(std::string_view text, Problems& problems);

enum class JsonForm { Indented, Compact };
/// Bytes that are no UTF-8 are replaced: JSON cannot hold them. Indented ends with a newline.
[[nodiscard]] std::string print_json(const Node& node, JsonForm form = JsonForm::Indented);

}  // namespace safekit::doc
