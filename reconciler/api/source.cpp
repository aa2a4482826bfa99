#include "reconciler/api/source.h"

#include <fmt/format.h>

#include "schema/doc/json.h"

namespace safekit::api {
namespace {

using doc::Node;

constexpr std::string_view kXmlScripts = "bin";  ///< where archives and module folders of SafeKit have them

std::string_view word_of(check::Format format) {
  switch (format) {
    case check::Format::Auto: return "auto";
    case check::Format::Yaml: return "yaml";
    case check::Format::Json: return "json";
    case check::Format::Xml: return "xml";
  }
  return "auto";
}

check::Format format_from(std::string_view word) {
  for (const check::Format format : {check::Format::Yaml, check::Format::Json, check::Format::Xml}) {
    if (word.find(word_of(format)) != std::string_view::npos) return format;
  }
  return check::Format::Auto;
}

Node to_map(const std::map<std::string, std::string>& entries) {
  Node map = Node::map();
  for (const auto& [name, value] : entries) map.add(name, Node::string(value));
  return map;
}

std::map<std::string, std::string> from_map(const Node* map) {
  std::map<std::string, std::string> entries;
  if (map != nullptr) {
    for (const Node& entry : map->children) entries[entry.key] = entry.text;
  }
  return entries;
}

}  // namespace

std::string to_body(const Source& source) {
  Node tree = Node::map();
  tree.add("file", Node::string(source.file));
  tree.add("text", Node::string(source.text));
  tree.add("format", Node::string(std::string{word_of(source.format)}));
  tree.add("name", Node::string(source.name));
  Node nodes = Node::list();
  for (const NodeName& node : source.nodes) nodes.push(Node::string(node.str()));
  tree.add("nodes", std::move(nodes));
  tree.add("environment", to_map(source.environment));
  Node scripts = Node::map();
  for (const auto& [directory, files] : source.scripts) scripts.add(directory, to_map(files));
  tree.add("scripts", std::move(scripts));
  return doc::print_json(tree, doc::JsonForm::Compact);
}

Result<Source> source_of(const Request& request) {
  const auto query = [&request](const std::string& name) {
    const auto found = request.query.find(name);
    return found == request.query.end() ? std::string{} : found->second;
  };
  if (!request.content_type.starts_with(kSourceType)) {
    return Source{.file = query("file"),
                  .text = request.body,
                  .format = format_from(request.content_type),
                  .name = query("name")};
  }
  doc::Problems problems{"request"};
  const std::vector<Node> parsed = doc::parse_json(request.body, problems);
  if (parsed.size() != 1) return Error{Code::Invalid, "the body of the request is no JSON object"};
  const Node& tree = parsed[0];
  Source source{
      .file = text_at(tree, {"file"}),
      .text = text_at(tree, {"text"}),
      .format = format_from(text_at(tree, {"format"})),
      .name = text_at(tree, {"name"}),
      .environment = from_map(tree.find("environment")),
  };
  if (const Node* nodes = tree.find("nodes"); nodes != nullptr) {
    for (const Node& node : nodes->children) source.nodes.emplace_back(node.text);
  }
  if (const Node* scripts = tree.find("scripts"); scripts != nullptr) {
    for (const Node& directory : scripts->children) source.scripts[directory.key] = from_map(&directory);
  }
  return source;
}

void take_scripts(const Source& source, spec::Module& module, const codec::Positions& positions,
                  doc::Problems& problems) {
  if (!module.scripts) return;
  spec::Scripts& scripts = *module.scripts;
  const bool is_named = !scripts.directory.empty();
  const auto found = source.scripts.find(is_named ? scripts.directory : std::string{kXmlScripts});
  if (found == source.scripts.end()) {
    if (!is_named) return;
    problems.error(
        positions.find("spec.scripts.directory"), "scripts-missing",
        fmt::format("the scripts of directory '{}' did not come with the file", scripts.directory),
        "apply it with `safekit apply -f`, which reads them, or write them under spec.scripts.files");
    return;
  }
  for (const auto& [name, text] : found->second) scripts.files[name] = text;
  scripts.directory.clear();
}

}  // namespace safekit::api
