#include "schema/codec/decode.h"

#include <charconv>
#include <concepts>
#include <limits>
#include <type_traits>

#include <fmt/format.h>

#include "schema/codec/fields.h"
#include "schema/codec/shorthand.h"
#include "schema/codec/suggest.h"
#include "schema/codec/words.h"

namespace safekit::codec {
namespace {

using doc::Kind;
using doc::Node;
using doc::Problems;
using spec::Dialect;

struct Context {
  Dialect dialect{Dialect::Ours};
  Positions& positions;
  Problems& problems;
};

std::string_view kind_word(Kind kind) {
  switch (kind) {
    case Kind::Null: return "nothing";
    case Kind::Bool:
    case Kind::Number:
    case Kind::String: return "a single value";
    case Kind::List: return "a list";
    case Kind::Map: return "a map";
  }
  return "?";
}

void invalid(Context& context, const Node& node, const std::string& path, std::string_view expected,
             std::string fix = {}) {
  const std::string given = node.is_scalar() ? fmt::format("invalid value '{}'", node.text)
                                             : fmt::format("{}", kind_word(node.kind));
  context.problems.error(node.at, "invalid-value",
                         fmt::format("{} for {} (expected: {})", given, path, expected), std::move(fix));
}

bool is_value(Context& context, const Node& node, const std::string& path, std::string_view expected) {
  if (node.is_scalar()) return true;
  invalid(context, node, path, expected);
  return false;
}

// A value for each type of member. Null leaves the default.

/// Texts end up in environments, paths and XML; only scripts may hold control characters, and none a NUL.
bool is_fit(Context& context, const Node& node, const std::string& path) {
  const bool script = path.starts_with("spec.scripts.files.");
  const bool bad =
      script ? node.text.find('\0') != std::string::npos : doc::has_control_characters(node.text);
  if (!bad && doc::is_utf8(node.text)) return true;
  context.problems.error(node.at, "control-character",
                         fmt::format("{} has a character that is no text", path), "remove it");
  return false;
}

void read(Context& context, const Node& node, const std::string& path, std::string& value) {
  if (!is_value(context, node, path, "text") || node.kind == Kind::Null) return;
  if (is_fit(context, node, path)) value = node.text;
}

template <class Tag>
void read(Context& context, const Node& node, const std::string& path, Name<Tag>& value) {
  read(context, node, path, value.value);
}

void read(Context& context, const Node& node, const std::string& path, bool& value) {
  if (!is_value(context, node, path, "true or false") || node.kind == Kind::Null) return;
  const std::string_view text = node.text;
  if (text == "true" || text == "on" || text == "yes") {
    value = true;
  } else if (text == "false" || text == "off" || text == "no") {
    value = false;
  } else {
    invalid(context, node, path, "true or false");
  }
}

template <std::integral T>
void read(Context& context, const Node& node, const std::string& path, T& value) {
  const std::string expected = fmt::format("a whole number from {} to {}", std::numeric_limits<T>::min(),
                                           std::numeric_limits<T>::max());
  if (!is_value(context, node, path, expected) || node.kind == Kind::Null) return;
  std::string_view text = node.text;
  const bool hex = text.starts_with("0x");
  if (hex) text.remove_prefix(2);
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed, hex ? 16 : 10);
  if (error != std::errc{} || text.empty() || end != text.data() + text.size()) {
    return invalid(context, node, path, expected);
  }
  value = parsed;
}

void read(Context& context, const Node& node, const std::string& path, Duration& value) {
  static constexpr std::string_view kExpected = "a time such as 500ms, 30s, 2m or 24h";
  if (!is_value(context, node, path, kExpected) || node.kind == Kind::Null) return;
  if (node.text == "0") {
    value = Duration{};
    return;
  }
  const auto parsed = parse_duration(node.text);
  if (!parsed) return invalid(context, node, path, kExpected);
  value = *parsed;
}

template <class E>
requires std::is_enum_v<E>
void read(Context& context, const Node& node, const std::string& path, E& value) {
  std::vector<std::string_view> words;
  std::string expected;
  for (const auto& [text, known] : Words<E>::kAll) {
    words.push_back(text);
    expected += fmt::format("{}{}", expected.empty() ? "" : "|", text);
  }
  if (!is_value(context, node, path, expected) || node.kind == Kind::Null) return;
  // YAML readers of the old school, and JSON, write `on` as true.
  std::string_view text = node.text;
  if (node.kind == Kind::Bool) text = text == "true" ? "on" : "off";
  for (const auto& [name, known] : Words<E>::kAll) {
    if (name == text) {
      value = known;
      return;
    }
  }
  const std::string near = nearest(text, words);
  invalid(context, node, path, expected, near.empty() ? "" : fmt::format("did you mean '{}'?", near));
}

void read(Context& context, const Node& node, const std::string& path,
          std::map<std::string, std::string>& value) {
  if (node.kind == Kind::Null) return;
  if (node.kind != Kind::Map) return invalid(context, node, path, "a map of names to texts");
  value.clear();
  for (const Node& child : node.children) {
    const std::string at = fmt::format("{}.{}", path, child.key);
    if (doc::has_control_characters(child.key)) {
      context.problems.error(child.key_at, "control-character", fmt::format("a name in {} is no text", path));
    }
    context.positions.note(at, child.at);
    read(context, child, at, value[child.key]);
  }
}

template <class T>
void fill_default(Dialect, T& value) {
  value = T{};
}
void fill_default(Dialect dialect, spec::Heart& value) {
  value = default_heart(dialect);
}
void fill_default(Dialect dialect, spec::Replication& value) {
  value = default_replication(dialect);
}

template <class T>
requires std::is_class_v<T>
void read(Context& context, const Node& node, const std::string& path, T& value);
template <class T>
void read(Context& context, const Node& node, const std::string& path, std::vector<T>& value);

template <class T>
void read(Context& context, const Node& node, const std::string& path, std::optional<T>& value) {
  if (node.kind == Kind::Null && !std::is_class_v<T>) return;
  value.emplace();
  fill_default(context.dialect, *value);
  const std::size_t before = context.problems.list().size();
  read(context, node, path, *value);
  // A wrong scalar counts as not given: the rules that look at it have nothing to say.
  if (!std::is_class_v<T> && context.problems.list().size() != before) value.reset();
}

template <class T>
void read(Context& context, const Node& node, const std::string& path, std::vector<T>& value) {
  if (node.kind == Kind::Null) return;
  if (node.kind != Kind::List) return invalid(context, node, path, "a list");
  value.clear();
  for (const Node& child : node.children) {
    const std::string at = fmt::format("{}[{}]", path, value.size());
    context.positions.note(at, child.at);
    value.emplace_back();
    read(context, child, at, value.back());
  }
}

/// Walks the fields of one struct over the map (or the scalar or list that stands for its main field).
class MapReader {
 public:
  MapReader(Context& context, const Node& node, std::string path)
      : context_(context), node_(node), path_(std::move(path)) {}

  template <class T>
  void operator()(std::string_view name, T& member, Use use = Use::Optional) {
    names_.push_back(name);
    const std::string at = fmt::format("{}.{}", path_, name);
    const bool is_main = use == Use::Main || use == Use::MainRequired;
    has_main_ |= is_main;
    const Node* node = node_.kind == Kind::Map ? node_.find(name) : is_main ? &node_ : nullptr;
    if (node != nullptr) {
      context_.positions.note(at, node->at);
      read(context_, *node, at, member);
    }
    const bool required = use == Use::Required || use == Use::Always || use == Use::MainRequired;
    if (!required || context_.dialect == Dialect::SafekitXml) return;  // xml_tree has reported it
    if (node == nullptr || (node->is_scalar() && node->text.empty())) {
      const doc::Position where = node != nullptr ? node->at : node_.at;
      context_.problems.error(where, "no-value", fmt::format("{} has no value", at),
                              fmt::format("add '{}: ...'", name));
    }
  }

  template <class T>
  void keyed(std::string_view name, std::vector<T>& member, std::string_view key, std::string_view value) {
    names_.push_back(name);
    const Node* node = node_.kind == Kind::Map ? node_.find(name) : nullptr;
    if (node == nullptr) return;
    const std::string at = fmt::format("{}.{}", path_, name);
    context_.positions.note(at, node->at);
    if (node->kind != Kind::Map) return read(context_, *node, at, member);
    read(context_, keyed_to_list(*node, key, value), at, member);
  }

  void finish() {
    if (node_.kind != Kind::Map) {
      if (!has_main_ && node_.kind != Kind::Null) invalid(context_, node_, path_, "a map");
      return;
    }
    for (const Node& child : node_.children) {
      if (std::find(names_.begin(), names_.end(), child.key) != names_.end()) continue;
      context_.problems.error(child.key_at, "unknown-field",
                              fmt::format("unknown field '{}' in {}", child.key, path_),
                              suggestion(child.key, names_));
    }
  }

 private:
  Context& context_;
  const Node& node_;
  std::string path_;
  std::vector<std::string_view> names_{};
  bool has_main_{false};
};

template <class T>
requires std::is_class_v<T>
void read(Context& context, const Node& node, const std::string& path, T& value) {
  MapReader reader{context, node, path};
  fields(reader, value);
  reader.finish();
}

/// A number, or a number in quotes as Kubernetes writes it; anything else is no number of ours.
void read_number(Context& context, const Node& tree, std::string_view name, std::uint64_t& value) {
  if (const Node* node = tree.find(name)) read(context, *node, fmt::format("metadata.{}", name), value);
}

const Node* required_map(const Node& document, std::string_view name, Problems& problems) {
  const Node* node = document.find(name);
  if (node != nullptr && node->kind == Kind::Map) return node;
  problems.error(node != nullptr ? node->at : document.at, "no-value",
                 fmt::format("'{}' is missing or no map", name),
                 fmt::format("add '{}:' with its fields below it", name));
  return nullptr;
}

void check_frame(const Node& document, Problems& problems) {
  static const std::vector<std::string_view> kNames{"apiVersion", "kind", "metadata", "spec", "status"};
  for (const Node& child : document.children) {
    if (std::find(kNames.begin(), kNames.end(), child.key) != kNames.end()) continue;
    problems.error(child.key_at, "unknown-field", fmt::format("unknown field '{}'", child.key),
                   suggestion(child.key, kNames));
  }
  const Node* version = document.find("apiVersion");
  if (version == nullptr || version->text != spec::kApiVersion) {
    problems.error(version != nullptr ? version->at : document.at, "api-version",
                   version == nullptr ? std::string{"'apiVersion' is missing"}
                                      : fmt::format("unknown apiVersion '{}'", version->text),
                   fmt::format("write 'apiVersion: {}'", spec::kApiVersion));
  }
}

}  // namespace

doc::Position Positions::find(std::string path) const {
  while (!path.empty()) {
    if (const auto at = at_.find(path); at != at_.end()) return at->second;
    const std::size_t cut = path.find_last_of(".[");
    path.resize(cut == std::string::npos ? 0 : cut);
  }
  return {};
}

void decode_metadata(const Node& tree, spec::Metadata& metadata, Positions& positions, Problems& problems) {
  Context context{Dialect::Ours, positions, problems};
  Node known = tree;
  // The store's own fields come back with an object that was printed; they are no part of the wish.
  for (const std::string_view name : {"generation", "resourceVersion", "uid", "creationTimestamp"})
    known.erase(name);
  read(context, known, "metadata", metadata);
  read_number(context, tree, "generation", metadata.generation);
  read_number(context, tree, "resourceVersion", metadata.resource_version);
}

void decode_spec(const Node& tree, Dialect dialect, spec::Cluster& cluster, Positions& positions,
                 Problems& problems) {
  Context context{dialect, positions, problems};
  read(context, tree, "spec", cluster);
}

void decode_spec(const Node& tree, Dialect dialect, spec::Module& module, Positions& positions,
                 Problems& problems) {
  Context context{dialect, positions, problems};
  read(context, tree, "spec", module);
}

std::optional<Decoded> decode(const Node& document, Problems& problems) {
  if (document.kind != Kind::Map) {
    problems.error(document.at, "invalid-value", "the document is no map of fields",
                   fmt::format("start it with 'apiVersion: {}'", spec::kApiVersion));
    return std::nullopt;
  }
  check_frame(document, problems);
  const Node* kind = document.find("kind");
  const std::string_view word = kind == nullptr ? std::string_view{} : std::string_view{kind->text};
  if (word != "Cluster" && word != "Module") {
    problems.error(kind != nullptr ? kind->at : document.at, "kind", fmt::format("unknown kind '{}'", word),
                   suggestion(word, {"Cluster", "Module"}));
    return std::nullopt;
  }
  Decoded decoded;
  spec::Metadata metadata;
  if (const Node* tree = required_map(document, "metadata", problems)) {
    decode_metadata(*tree, metadata, decoded.positions, problems);
    decoded.positions.note("metadata", tree->at);
  }
  const Node* tree = required_map(document, "spec", problems);
  if (tree != nullptr) decoded.positions.note("spec", tree->key_at);
  if (word == "Cluster") {
    spec::Cluster cluster;
    cluster.metadata = std::move(metadata);
    if (tree != nullptr) decode_spec(*tree, Dialect::Ours, cluster, decoded.positions, problems);
    decoded.object = std::move(cluster);
  } else {
    spec::Module module;
    module.metadata = std::move(metadata);
    if (tree != nullptr) {
      decode_spec(expand_shorthand(*tree, problems), Dialect::Ours, module, decoded.positions, problems);
    }
    decoded.object = std::move(module);
  }
  return decoded;
}

}  // namespace safekit::codec
