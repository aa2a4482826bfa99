#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "schema/base/time.h"
#include "schema/codec/xml_grammar.h"
#include "schema/doc/node.h"

/// One attribute's text to a value of the spec's tree and back.
namespace safekit::codec {

/// A time attribute: a bare number counts `unit`s; a suffix is converted to whole units, cut off towards
/// zero. Errors: Invalid for other forms, and for a time that is not zero but would become zero. Source:
/// spec/config.md 2.2.
struct XmlTime {
  Duration value{};
  bool truncated{false};  ///< something was cut off
};
[[nodiscard]] Result<XmlTime> parse_xml_time(std::string_view text, As unit);
[[nodiscard]] std::string print_xml_time(Duration value, As unit);
/// `s`, `ms`, ...
[[nodiscard]] std::string_view unit_suffix(As unit);
[[nodiscard]] bool is_time(As as);

/// The value for the tree (positions not set). Empty: it says nothing, or it is wrong and `problems` has it.
[[nodiscard]] std::optional<doc::Node> value_from_xml(const XmlAttribute& attribute, std::string_view element,
                                                      const doc::Node& text, doc::Problems& problems);
/// The opposite for a value that the encoder made.
[[nodiscard]] std::string value_to_xml(const XmlAttribute& attribute, const doc::Node& value);

}  // namespace safekit::codec
