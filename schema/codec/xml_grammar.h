#pragma once

#include <string_view>
#include <vector>

/// The elements and attributes of cluster.xml and userconfig.xml, and which field of a spec's tree each one
/// is. One table for both directions. Source: spec/config.md 1.3, 1.4, 2 and 2.14.
namespace safekit::codec {

enum class As {
  Text,
  OnOff,
  YesNo,
  Int,    ///< may be negative
  Count,  ///< 0 and up
  Port,   ///< 1 to 65535; `*` where the words say so: left out
  Hex,
  Hours,  ///< a time; the word is its implicit unit
  Minutes,
  Seconds,
  Milliseconds,
  Word,  ///< one of `words`
  SpaceList,
  CommaList,
  Obsolete,  ///< accepted with a warning; `words` may say what it still means
  Removed,   ///< refused with its own message
};

/// `words`: `a b` (the same words in the tree), `a=x b=y` (other words there), `!c` (removed value, own
/// message).
struct XmlAttribute {
  std::string_view name{};
  std::string_view field{};  ///< in the tree; may be dotted; empty: has no place there
  As as{As::Text};
  std::string_view words{};
  bool required{false};
};

enum class How {
  Map,        ///< a map under `field`
  List,       ///< one more map in the list `field`
  Merge,      ///< its fields are those of what surrounds it
  Texts,      ///< its one attribute is one more text in the list `field`
  Interface,  ///< an interface for each real_interface or virtual_interface in it
};

struct XmlElement;
struct XmlChild {
  const XmlElement* element{nullptr};
  std::string_view field{};
  How how{How::Map};
  bool once{false};
  bool required{false};
};

struct XmlElement {
  std::string_view name{};
  std::vector<XmlAttribute> attributes{};
  std::vector<XmlChild> children{};
  std::string_view texts{};  ///< field of a list that takes the CDATA sections
};

[[nodiscard]] const XmlElement& cluster_grammar();  ///< `<cluster>`
[[nodiscard]] const XmlElement& service_grammar();  ///< `<service>`
[[nodiscard]] const XmlElement& real_interface_grammar();
[[nodiscard]] const XmlElement& virtual_interface_grammar();
/// Elements of old releases that nothing can stand for.
[[nodiscard]] bool is_removed_element(std::string_view name);

}  // namespace safekit::codec
