#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/check/validate.h"
#include "schema/codec/decode.h"
#include "schema/codec/safe_archive.h"
#include "schema/codec/safekit_xml.h"
#include "schema/doc/problem.h"

/// One call from a text to checked specs: what `validate`, `apply`, `convert`, the API and CI use.
namespace safekit::check {

enum class Format { Auto, Yaml, Json, Xml };

/// What the caller knows beside the text. Everything may be left out.
struct LoadOptions {
  Format format{Format::Auto};            ///< Auto: by the file name's ending, else by the first character
  codec::Environment environment{};       ///< for `%NAME%` in XML
  const spec::Cluster* cluster{nullptr};  ///< that is in force; a Cluster in the text goes before it
  std::vector<const spec::Module*> others{};  ///< other modules in force; those of the text are added
  std::string module_name{};                  ///< for an XML module, which has none
  std::vector<NodeName> module_nodes{};       ///< likewise
  std::uint32_t module_id{0};                 ///< likewise
  Platform platform{Platform::Linux};
};

struct LoadResult {
  Format format{Format::Auto};            ///< what the text was
  std::vector<codec::Decoded> objects{};  ///< all that could be read, in document order, also with errors
  std::vector<doc::Problem> problems{};   ///< by position
  [[nodiscard]] bool has_errors() const;
  /// Null: there is none.
  [[nodiscard]] const spec::Cluster* cluster() const;
  [[nodiscard]] std::vector<const spec::Module*> modules() const;
};

/// Parses, decodes and validates. A file may hold several documents; they are judged together.
[[nodiscard]] LoadResult load(std::string_view text, const std::string& file_name,
                              const LoadOptions& options = {});

/// The same for a `.safe` archive: its `conf/userconfig.xml`, with the scripts of `bin/` put into the module.
/// `files` takes all that was packed, if it is wanted. An archive that cannot be read is a problem like any
/// other.
[[nodiscard]] LoadResult load_archive(BytesView bytes, const std::string& file_name,
                                      const LoadOptions& options = {}, codec::SafeArchive* files = nullptr);

/// `file:line:column: error: message (fix) [rule]`
[[nodiscard]] std::string render(const doc::Problem& problem);

[[nodiscard]] Format format_of(std::string_view text, std::string_view file_name);

}  // namespace safekit::check
