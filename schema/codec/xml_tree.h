#pragma once

#include "schema/codec/xml_grammar.h"
#include "schema/doc/node.h"

/// An element with all below it to a spec's tree and back, as the grammar says.
namespace safekit::codec {

/// The tree in long form, with the positions of the XML text. What is wrong goes to `problems` and is left
/// out.
[[nodiscard]] doc::Node tree_from_xml(const XmlElement& grammar, const doc::Node& element,
                                      doc::Problems& problems);

/// The element for a tree in long form; fields for which XML has no place are left out.
[[nodiscard]] doc::Node tree_to_xml(const XmlElement& grammar, const doc::Node& tree);

}  // namespace safekit::codec
