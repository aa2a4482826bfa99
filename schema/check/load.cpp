#include "schema/check/load.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "schema/doc/json.h"
#include "schema/doc/xml.h"
#include "schema/doc/yaml.h"

namespace safekit::check {
namespace {

using codec::Decoded;
using doc::Problems;

std::vector<doc::Node> parse(std::string_view text, Format format, Problems& problems) {
  switch (format) {
    case Format::Json: return doc::parse_json(text, problems);
    case Format::Xml: return doc::parse_xml(text, problems);
    case Format::Auto:
    case Format::Yaml: return doc::parse_yaml(text, problems);
  }
  return {};
}

/// What an XML file leaves to whoever applies it.
void complete(spec::Module& module, const LoadOptions& options) {
  if (module.metadata.name.empty()) module.metadata.name = options.module_name;
  if (module.nodes.empty()) module.nodes = options.module_nodes;
  if (module.id == 0) module.id = options.module_id;
}

/// Without its mode a module cannot be judged: every section would be called wrong for the mode it has not.
bool mode_is_known(const Decoded& decoded, const Problems& problems) {
  if (!decoded.positions.has("spec.mode")) return false;
  const doc::Position at = decoded.positions.find("spec.mode");
  return std::none_of(problems.list().begin(), problems.list().end(), [&](const doc::Problem& problem) {
    return problem.at == at && problem.severity == doc::Severity::Error;
  });
}

void judge_all(LoadResult& result, const LoadOptions& options, Problems& problems) {
  Surroundings around{.cluster = result.cluster() != nullptr ? result.cluster() : options.cluster,
                      .others = options.others,
                      .platform = options.platform};
  if (result.format == Format::Xml) around.dialect = spec::Dialect::SafekitXml;
  const auto modules = result.modules();
  around.others.insert(around.others.end(), modules.begin(), modules.end());
  std::size_t clusters = 0;
  std::set<std::string> names;
  for (const Decoded& decoded : result.objects) {
    if (const auto* cluster = std::get_if<spec::Cluster>(&decoded.object)) {
      if (++clusters > 1) {
        problems.error(decoded.positions.find("spec"), "cluster-twice", "the file has more than one Cluster",
                       "a node belongs to one");
      }
      validate(*cluster, decoded.positions, problems);
    } else {
      const auto& module = std::get<spec::Module>(decoded.object);
      if (!module.metadata.name.empty() && !names.insert(module.metadata.name).second) {
        problems.error(decoded.positions.find("metadata.name"), "module-twice",
                       fmt::format("module {} is in the file twice", module.metadata.name));
      }
      if (mode_is_known(decoded, problems)) validate(module, around, decoded.positions, problems);
    }
  }
}

LoadResult load_text(std::string_view text, const std::string& file_name, const LoadOptions& options,
                     const codec::SafeArchive& archive) {
  LoadResult result;
  result.format = options.format == Format::Auto ? format_of(text, file_name) : options.format;
  Problems problems{file_name};
  const auto documents = parse(text, result.format, problems);
  if (documents.empty() && !problems.has_errors()) {
    problems.error({1, 1}, "empty", "the file is empty",
                   fmt::format("start it with 'apiVersion: {}' and 'kind: Module'", spec::kApiVersion));
  }
  for (const doc::Node& document : documents) {
    auto decoded = result.format == Format::Xml ? codec::decode_xml(document, options.environment, problems)
                                                : codec::decode(document, problems);
    if (!decoded) continue;
    if (auto* module = std::get_if<spec::Module>(&decoded->object)) {
      complete(*module, options);
      add_scripts(archive, *module, problems);
    }
    result.objects.push_back(std::move(*decoded));
  }
  judge_all(result, options, problems);
  problems.sort();
  result.problems = problems.list();
  return result;
}

}  // namespace

bool LoadResult::has_errors() const {
  return std::any_of(problems.begin(), problems.end(),
                     [](const doc::Problem& problem) { return problem.severity == doc::Severity::Error; });
}

const spec::Cluster* LoadResult::cluster() const {
  for (const Decoded& decoded : objects) {
    if (const auto* cluster = std::get_if<spec::Cluster>(&decoded.object)) return cluster;
  }
  return nullptr;
}

std::vector<const spec::Module*> LoadResult::modules() const {
  std::vector<const spec::Module*> found;
  for (const Decoded& decoded : objects) {
    if (const auto* module = std::get_if<spec::Module>(&decoded.object)) found.push_back(module);
  }
  return found;
}

Format format_of(std::string_view text, std::string_view file_name) {
  if (file_name.ends_with(".xml")) return Format::Xml;
  if (file_name.ends_with(".json")) return Format::Json;
  if (file_name.ends_with(".yaml") || file_name.ends_with(".yml")) return Format::Yaml;
  const std::size_t first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (first == std::string_view::npos) return Format::Yaml;
  return text[first] == '<' ? Format::Xml : text[first] == '{' ? Format::Json : Format::Yaml;
}

LoadResult load(std::string_view text, const std::string& file_name, const LoadOptions& options) {
  return load_text(text, file_name, options, {});
}

LoadResult load_archive(BytesView bytes, const std::string& file_name, const LoadOptions& options,
                        codec::SafeArchive* files) {
  LoadResult result{.format = Format::Xml};
  Problems problems{file_name};
  const auto archive = codec::read_safe_archive(bytes);
  const std::string config = archive ? config_path(*archive) : std::string{};
  if (!archive) {
    problems.error({}, "archive", archive.error().what);
  } else if (config.empty()) {
    problems.error({}, "archive", "the archive has no conf/userconfig.xml",
                   "pack the module's folders conf and bin");
  } else {
    LoadOptions as_xml = options;
    as_xml.format = Format::Xml;
    result = load_text(archive->files.at(config), fmt::format("{}/{}", file_name, config), as_xml, *archive);
    if (files != nullptr) *files = *archive;
    return result;
  }
  result.problems = problems.list();
  return result;
}

std::string render(const doc::Problem& problem) {
  return to_string(problem);
}

}  // namespace safekit::check
