#include "schema/check/convert.h"

#include <fmt/format.h>

#include "schema/codec/encode.h"
#include "schema/codec/safekit_xml.h"
#include "schema/doc/json.h"
#include "schema/doc/yaml.h"

namespace safekit::check {
namespace {

template <class T>
std::string print_as(const T& object, Format format) {
  switch (format) {
    case Format::Json: return doc::print_json(codec::encode(object));
    case Format::Xml: return codec::print_safekit_xml(object);
    case Format::Auto:
    case Format::Yaml: return doc::print_yaml(codec::encode(object));
  }
  return {};
}

}  // namespace

std::string print(const spec::Cluster& cluster, Format format) {
  return print_as(cluster, format);
}
std::string print(const spec::Module& module, Format format) {
  return print_as(module, format);
}

Converted convert(std::string_view text, const std::string& file_name, Format to,
                  const LoadOptions& options) {
  LoadResult loaded = load(text, file_name, options);
  Converted converted;
  const bool wrong = loaded.has_errors();
  converted.problems = std::move(loaded.problems);
  if (wrong) return converted;
  const bool many = loaded.objects.size() > 1;
  if (many && to != Format::Yaml && to != Format::Auto) {
    converted.problems.push_back({.file = file_name,
                                  .at = {1, 1},
                                  .rule = "several-objects",
                                  .message = "the file has several objects, and this form holds one",
                                  .fix = "split the file, or convert to yaml"});
    return converted;
  }
  for (const codec::Decoded& decoded : loaded.objects) {
    if (many) converted.text += "---\n";
    converted.text += std::visit([&](const auto& object) { return print(object, to); }, decoded.object);
  }
  return converted;
}

}  // namespace safekit::check
