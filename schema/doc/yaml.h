#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/doc/node.h"

namespace safekit::doc {

/// Every document of a YAML text (`---` between them); empty documents are left out. What is wrong goes to
/// `problems`; the documents before a syntax error are still given.
[[nodiscard]] std::vector<Node> parse_yaml(std::string_view text, Problems& problems);

/// Block style, short lists of scalars on one line, long texts as literal blocks. Words that another reader
/// might take for something else than text (`on`, `012`) are quoted. Ends with a newline.
[[nodiscard]] std::string print_yaml(const Node& node);

}  // namespace safekit::doc
