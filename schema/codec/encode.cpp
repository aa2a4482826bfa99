#include "schema/codec/encode.h"

#include <concepts>
#include <type_traits>

#include <fmt/format.h>

#include "schema/codec/fields.h"
#include "schema/codec/shorthand.h"
#include "schema/codec/words.h"
#include "schema/doc/json.h"

namespace safekit::codec {
namespace {

using doc::Kind;
using doc::Node;
using spec::Dialect;

struct Form {
  Dialect dialect{Dialect::Ours};
  Fill fill{Fill::LeaveOutDefaults};
  bool short_forms{false};
};

template <class T>
T default_of(Dialect) {
  return T{};
}
template <>
spec::Heart default_of<spec::Heart>(Dialect dialect) {
  return spec::default_heart(dialect);
}
template <>
spec::Replication default_of<spec::Replication>(Dialect dialect) {
  return spec::default_replication(dialect);
}

Node node_of(const Form&, const std::string& value) {
  return Node::string(value);
}
template <class Tag>
Node node_of(const Form&, const Name<Tag>& value) {
  return Node::string(value.str());
}
Node node_of(const Form&, const bool& value) {
  return Node::boolean(value);
}
template <std::integral T>
Node node_of(const Form&, const T& value) {
  return Node::number(fmt::format("{}", value));
}
Node node_of(const Form&, const Duration& value) {
  return Node::string(to_string(value));
}
template <class E>
requires std::is_enum_v<E> Node node_of(const Form&, const E& value) {
  return Node::string(std::string{word(value)});
}
Node node_of(const Form&, const std::map<std::string, std::string>& value) {
  Node map = Node::map();
  for (const auto& [key, text] : value) map.add(key, Node::string(text));
  return map;
}
template <class T>
requires std::is_class_v<T> Node node_of(const Form& form, const T& value);
template <class T>
Node node_of(const Form& form, const std::vector<T>& value) {
  Node list = Node::list();
  for (const T& item : value) list.push(node_of(form, item));
  return list;
}

class MapWriter {
 public:
  explicit MapWriter(const Form& form) : form_(form) {}

  template <class T>
  void operator()(std::string_view name, const T& member, Use use = Use::Optional) {
    put(name, node_of(form_, member), use);
  }
  template <class T>
  void operator()(std::string_view name, const std::optional<T>& member, Use use = Use::Optional) {
    if (member) put(name, node_of(form_, *member), use);
  }
  template <class T>
  void keyed(std::string_view name, const std::vector<T>& member, std::string_view key,
             std::string_view value) {
    Node list = node_of(form_, member);
    put(name, form_.short_forms && !list.children.empty() ? list_to_keyed(list, key, value) : list,
        Use::Optional);
  }

  Node map{Node::map()};
  std::string_view main{};
  std::vector<std::string_view> always{};

 private:
  void put(std::string_view name, Node node, Use use) {
    if (use == Use::Main || use == Use::MainRequired) main = name;
    if (use == Use::Always || use == Use::Written) always.push_back(name);
    map.add(std::string{name}, std::move(node));
  }
  const Form& form_;
};

template <class T>
MapWriter written(const Form& form, T value) {
  MapWriter writer{form};
  fields(writer, value);
  return writer;
}

template <class T>
requires std::is_class_v<T> Node node_of(const Form& form, const T& value) {
  MapWriter writer = written(form, value);
  if (form.fill == Fill::EveryField) return std::move(writer.map);
  const MapWriter usual = written(form, default_of<T>(form.dialect));
  Node map = Node::map();
  for (Node& child : writer.map.children) {
    const Node* like = usual.map.find(child.key);
    const bool keep = std::find(writer.always.begin(), writer.always.end(), child.key) != writer.always.end();
    if (keep || like == nullptr || !same(child, *like)) map.push(std::move(child));
  }
  const bool only_main = map.children.size() == 1 && map.children.front().key == writer.main;
  if (!form.short_forms || !only_main || map.children.front().kind == Kind::Map) return map;
  Node main = std::move(map.children.front());
  main.key.clear();
  return main;
}

template <class T>
Node object(const T& value, spec::Kind kind, Node tree) {
  Node document = Node::map();
  document.add("apiVersion", Node::string(std::string{spec::kApiVersion}));
  document.add("kind", Node::string(std::string{to_string(kind)}));
  document.add("metadata", encode_metadata(value.metadata));
  document.add("spec", std::move(tree));
  return document;
}

/// `{}` of a struct that is all default says nothing; it is left out where it is not an optional section.
void drop_empty(Node& tree, std::string_view name) {
  const Node* node = tree.find(name);
  if (node != nullptr && node->children.empty() && !node->is_scalar()) tree.erase(name);
}

template <class T>
std::string canonical(T value) {
  value.metadata.generation = 0;
  value.metadata.resource_version = 0;
  return print_json(encode(value), doc::JsonForm::Compact);
}

}  // namespace

Node encode_metadata(const spec::Metadata& metadata) {
  Node tree = node_of(Form{}, metadata);
  if (metadata.generation != 0) tree.add("generation", Node::number(fmt::format("{}", metadata.generation)));
  if (metadata.resource_version != 0) {
    tree.add("resourceVersion", Node::string(fmt::format("{}", metadata.resource_version)));
  }
  return tree;
}

Node encode_spec(const spec::Cluster& cluster, Dialect dialect, Fill fill) {
  return node_of(Form{dialect, fill, false}, cluster);
}
Node encode_spec(const spec::Module& module, Dialect dialect, Fill fill) {
  return node_of(Form{dialect, fill, false}, module);
}

Node encode(const spec::Cluster& cluster) {
  return object(cluster, spec::Kind::Cluster, node_of(Form{.short_forms = true}, cluster));
}

Node encode(const spec::Module& module) {
  Node tree = fold_shorthand(node_of(Form{.short_forms = true}, module));
  drop_empty(tree, "checkers");
  return object(module, spec::Kind::Module, std::move(tree));
}

std::string canonical_json(const spec::Cluster& cluster) {
  return canonical(cluster);
}
std::string canonical_json(const spec::Module& module) {
  return canonical(module);
}
Digest128 content_digest(const spec::Cluster& cluster) {
  return digest128(as_bytes(canonical_json(cluster)));
}
Digest128 content_digest(const spec::Module& module) {
  return digest128(as_bytes(canonical_json(module)));
}

}  // namespace safekit::codec
