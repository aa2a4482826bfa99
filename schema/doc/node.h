#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/doc/problem.h"

namespace safekit::doc {

enum class Kind { Null, Bool, Number, String, List, Map };

/// What all text forms have in common: a tree with the place in the text of each part. A value.
/// Shape:  a scalar has `text` as written; a list and a map have `children`, those of a map have a `key`
/// each, in
///         document order. An XML element is a Map: attributes are `@name`, text and CDATA `#text`, child
///         elements have their name as key (the only maps in which a key may come twice).
struct Node {
  Kind kind{Kind::Null};
  std::string text{};
  std::vector<Node> children{};
  std::string key{};
  Position at{};      ///< of the value
  Position key_at{};  ///< of the key

  [[nodiscard]] static Node string(std::string value) { return scalar(Kind::String, std::move(value)); }
  [[nodiscard]] static Node number(std::string value) { return scalar(Kind::Number, std::move(value)); }
  [[nodiscard]] static Node boolean(bool value) { return scalar(Kind::Bool, value ? "true" : "false"); }
  [[nodiscard]] static Node list() { return of(Kind::List); }
  [[nodiscard]] static Node map() { return of(Kind::Map); }

  [[nodiscard]] bool is_scalar() const { return kind != Kind::List && kind != Kind::Map; }
  /// The first child of that key; null if there is none.
  [[nodiscard]] const Node* find(std::string_view name) const;
  [[nodiscard]] Node* find(std::string_view name);
  /// Appends and returns it (valid until the next change of `children`).
  Node& add(std::string name, Node value);
  Node& push(Node value);
  void erase(std::string_view name);

 private:
  [[nodiscard]] static Node of(Kind kind) {
    Node node;
    node.kind = kind;
    return node;
  }
  [[nodiscard]] static Node scalar(Kind kind, std::string value) {
    Node node = of(kind);
    node.text = std::move(value);
    return node;
  }
};

/// Same kinds, keys and values in the same order; positions do not count.
[[nodiscard]] bool same(const Node& a, const Node& b);

/// Bounds on every input, whatever its form; beyond them it is refused.
inline constexpr std::size_t kTextBytesMax = 8 * 1024 * 1024;
inline constexpr std::size_t kDepthMax = 64;
inline constexpr std::size_t kNodesMax = 200'000;

/// Byte offset in a text to line and column. Looks at the text only while it is made. A value.
class LineIndex {
 public:
  explicit LineIndex(std::string_view text);
  [[nodiscard]] Position at(std::size_t offset) const;

 private:
  std::vector<std::size_t> starts_{};
};

/// Well-formed UTF-8 without surrogates and non-characters: what every form can hold.
[[nodiscard]] bool is_utf8(std::string_view text);
/// Control characters but tab and line ends are in it: XML cannot hold them.
[[nodiscard]] bool has_control_characters(std::string_view text);

/// Errors for keys that come twice in a map, anywhere in the tree. Not for XML.
void report_duplicate_keys(const Node& node, Problems& problems);

}  // namespace safekit::doc
