#include "schema/check/diff.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "schema/codec/encode.h"
#include "schema/doc/json.h"

namespace safekit::check {
namespace {

using doc::Kind;
using doc::Node;

constexpr std::size_t kShownBytesMax = 200;

/// What names a part of a list: the first of these fields that it has.
std::string name_of(const Node& item) {
  if (item.is_scalar()) return item.text;
  for (const std::string_view key : {"ident", "name", "path", "address", "regex", "virtualAddress"}) {
    const Node* field = item.find(key);
    if (field != nullptr && field->is_scalar() && !field->text.empty()) return field->text;
  }
  return {};
}

/// Names of the parts of a list; counted where a name is missing or comes again.
std::vector<std::string> names_of_items(const Node& list) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Node& item : list.children) {
    std::string name = name_of(item);
    if (name.empty() || !seen.insert(name).second) name = fmt::format("{}", names.size());
    names.push_back(name);
  }
  return names;
}

std::string shown(const Node& node) {
  std::string text = node.is_scalar() ? node.text : print_json(node, doc::JsonForm::Compact);
  if (const std::size_t line = text.find('\n'); line != std::string::npos) {
    const auto lines = std::count(text.begin(), text.end(), '\n');
    return fmt::format("{}... ({} lines)", text.substr(0, std::min(line, kShownBytesMax)), lines);
  }
  if (text.size() > kShownBytesMax) text = text.substr(0, kShownBytesMax) + "...";
  return text.empty() ? "\"\"" : text;
}

bool is_plain_list(const Node& node) {
  return node.kind == Kind::List && std::all_of(node.children.begin(), node.children.end(),
                                                [](const Node& item) { return item.is_scalar(); });
}

/// Maps and named lists alike as name to part.
std::map<std::string, const Node*> parts_of(const Node& node) {
  std::map<std::string, const Node*> parts;
  const auto names = node.kind == Kind::List ? names_of_items(node) : std::vector<std::string>{};
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const Node& child = node.children[i];
    parts[node.kind == Kind::List ? fmt::format("[{}]", names[i]) : "." + child.key] = &child;
  }
  return parts;
}

void compare(const Node& before, const Node& after, const std::string& path,
             std::vector<FieldChange>& changes) {
  const bool scalars = before.is_scalar() || after.is_scalar() || before.kind != after.kind;
  if (scalars || (is_plain_list(before) && is_plain_list(after))) {
    if (shown(before) != shown(after) || !same(before, after))
      changes.push_back({path, shown(before), shown(after)});
    return;
  }
  const auto old_parts = parts_of(before);
  const auto new_parts = parts_of(after);
  for (const auto& [name, part] : old_parts) {
    const auto now = new_parts.find(name);
    if (now == new_parts.end()) {
      changes.push_back({path + name, shown(*part), {}});
    } else {
      Node then_part = *part;
      Node now_part = *now->second;
      then_part.key = now_part.key = {};
      compare(then_part, now_part, path + name, changes);
    }
  }
  for (const auto& [name, part] : new_parts) {
    if (old_parts.count(name) == 0) changes.push_back({path + name, {}, shown(*part)});
  }
}

template <class T>
Node comparable(const T& object) {
  Node spec = encode_spec(object, spec::Dialect::Ours, codec::Fill::EveryField);
  spec.erase("xml");
  return spec;
}

template <class T>
std::vector<FieldChange> diff_as(const T& before, const T& after) {
  std::vector<FieldChange> changes;
  const auto metadata = [](const T& object) {
    Node node = codec::encode_metadata(object.metadata);
    node.erase("generation");
    node.erase("resourceVersion");
    for (const std::string name : {"labels", "annotations"}) {
      if (node.find(name) == nullptr) node.add(name, Node::map());
    }
    return node;
  };
  compare(metadata(before), metadata(after), "metadata", changes);
  compare(comparable(before), comparable(after), "spec", changes);
  return changes;
}

}  // namespace

std::vector<FieldChange> diff(const spec::Cluster& before, const spec::Cluster& after) {
  return diff_as(before, after);
}
std::vector<FieldChange> diff(const spec::Module& before, const spec::Module& after) {
  return diff_as(before, after);
}

std::string to_string(const FieldChange& change) {
  if (change.before.empty()) return fmt::format("+ {}: {}", change.path, change.after);
  if (change.after.empty()) return fmt::format("- {}: {}", change.path, change.before);
  return fmt::format("~ {}: {} -> {}", change.path, change.before, change.after);
}

bool spec_differs(const spec::Cluster& before, const spec::Cluster& after) {
  return !same(comparable(before), comparable(after));
}
bool spec_differs(const spec::Module& before, const spec::Module& after) {
  return !same(comparable(before), comparable(after));
}

}  // namespace safekit::check
