#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/doc/node.h"

namespace safekit::doc {

/// The root element as a map (see Node) that stands under its name in the document's map: `{safe: {...}}`;
/// the text of
/// `<?safekit ...?>` is there as `?safekit`. Empty when `problems` got an error.
/// Entity declarations are refused; nothing outside the text is ever loaded. White space between elements is
/// dropped.
[[nodiscard]] std::vector<Node> parse_xml(std::string_view text, Problems& problems);

/// Two spaces of indentation, texts as CDATA. Takes what parse_xml gives. `doctype` empty: no such line.
[[nodiscard]] std::string print_xml(const Node& document, std::string_view doctype = {});

}  // namespace safekit::doc
