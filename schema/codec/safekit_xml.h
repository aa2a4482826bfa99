#pragma once

#include <map>
#include <optional>
#include <string>

#include "schema/codec/decode.h"
#include "schema/doc/node.h"
#include "schema/spec/cluster.h"
#include "schema/spec/module.h"

/// cluster.xml and userconfig.xml. Meaning is kept both ways; so are macros, and the way things were written
/// (spec/written_xml.h). Not kept: comments, the order of sections, white space. What only our own form can
/// say (nodes, name, durability, scripts) travels in XML as `<?safekit {json}?>`, which other readers skip.
namespace safekit::codec {

using Environment = std::map<std::string, std::string>;

/// A parsed XML document; its root says which kind. Unknown `%NAME%` are looked up in `environment`.
/// Empty: the root is neither `<safe>` nor `<cluster>`. A module has the name that the text gives, if any.
[[nodiscard]] std::optional<Decoded> decode_xml(const doc::Node& document, const Environment& environment,
                                                doc::Problems& problems);

[[nodiscard]] doc::Node encode_xml(const spec::Cluster& cluster);
[[nodiscard]] doc::Node encode_xml(const spec::Module& module);
/// The whole text, with its DOCTYPE.
[[nodiscard]] std::string print_safekit_xml(const spec::Cluster& cluster);
[[nodiscard]] std::string print_safekit_xml(const spec::Module& module);

/// The module as SafeKit stores it (`safeconf.xml`): macros expanded, and the checkers that its addresses
/// make.
[[nodiscard]] std::string print_expanded_xml(const spec::Module& module);

}  // namespace safekit::codec
