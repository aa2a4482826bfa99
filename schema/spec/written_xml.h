#pragma once

#include <map>
#include <string>
#include <vector>

namespace safekit::spec {

/// `<macro name value>` of a userconfig.xml, in document order: a macro is visible only after its definition.
struct Macro {
  std::string name{};
  std::string value{};
  friend bool operator==(const Macro&, const Macro&) = default;
};

/// What an XML file said in another way than we would say it, so that it can be given back (design.md 4). A
/// value that nothing but codec/safekit_xml acts on: the spec itself holds the expanded, converted meaning.
struct WrittenXml {
  std::vector<Macro> macros{};
  /// `%NAME%` taken from the environment of whoever read the file, and what it was then.
  std::map<std::string, std::string> environment{};
  /// Path of an attribute or text (`service/user/var[1]@value`) to the text as written: macros, bare time
  /// numbers, defaults written out, obsolete attributes. Used again only where it still means what the spec
  /// says.
  std::map<std::string, std::string> text{};
  friend bool operator==(const WrittenXml&, const WrittenXml&) = default;
};

}  // namespace safekit::spec
