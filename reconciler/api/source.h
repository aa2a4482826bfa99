#pragma once

#include <map>
#include <string>
#include <vector>

#include "reconciler/api/request.h"
#include "schema/check/load.h"

namespace safekit::api {

/// A file as it is applied: its text, and what belongs to it. A value.
struct Source {
  std::string file{};  ///< as problems name it
  std::string text{};
  check::Format format{check::Format::Auto};
  std::string name{};                ///< for an XML module, which has none
  std::vector<NodeName> nodes{};     ///< likewise
  codec::Environment environment{};  ///< for `%NAME%` in XML
  /// Directory as the spec names it (XML: `bin`) to file name to text.
  std::map<std::string, std::map<std::string, std::string>> scripts{};
};

/// As kSourceType.
[[nodiscard]] std::string to_body(const Source& source);
/// By the content type: kSourceType, else the body is the text itself. Errors: Invalid.
[[nodiscard]] Result<Source> source_of(const Request& request);

/// Puts the scripts of the source into the module. An error for a directory that the source did not bring.
void take_scripts(const Source& source, spec::Module& module, const codec::Positions& positions,
                  doc::Problems& problems);

}  // namespace safekit::api
