#include "schema/codec/as_written.h"

#include <fmt/format.h>

namespace safekit::codec {
namespace {

using doc::Kind;
using doc::Node;

bool is_attribute(const Node& node) {
  return node.key.starts_with('@');
}
bool is_text(const Node& node) {
  return node.key == "#text";
}
bool is_element(const Node& node) {
  return node.kind == Kind::Map;
}

/// Paths: `safe/service/user/var[2]@value` (the third var), `safe/service/failover#0` (the first text).
std::string path_of(const std::string& parent, const Node& child, int index) {
  if (is_attribute(child)) return parent + child.key;
  if (is_text(child)) return fmt::format("{}#{}", parent, index);
  const std::string step = index == 0 ? child.key : fmt::format("{}[{}]", child.key, index);
  return parent.empty() ? step : fmt::format("{}/{}", parent, step);
}

void visit(Node& element, const std::string& path,
           const std::function<void(const std::string& path, Node& node)>& act) {
  std::map<std::string, int> seen;
  for (Node& child : element.children) {
    const std::string at = path_of(path, child, seen[child.key]++);
    act(at, child);
    if (is_element(child)) visit(child, at, act);
  }
}

/// Position of the `@` or `#` that ends the element's part of a path.
std::size_t element_end(const std::string& path) {
  return path.find_last_of("@#");
}

void put(Node& document, const std::string& path, const std::string& text) {
  const std::size_t end = element_end(path);
  if (end == std::string::npos) return;
  const std::string owner = path.substr(0, end);
  const std::string key = path.substr(end);
  visit(document, "", [&](const std::string& at, Node& node) {
    if (at == path) node.text = text;
    if (at == owner && is_element(node) && key.starts_with('@') && node.find(key) == nullptr) {
      node.add(key, Node::string(text));
    }
  });
}

}  // namespace

std::map<std::string, std::string> wording(const Node& written, const Node& usual) {
  std::map<std::string, const Node*> known;
  Node copy = usual;
  visit(copy, "", [&](const std::string& path, Node& node) { known[path] = &node; });
  std::map<std::string, std::string> found;
  Node original = written;
  visit(original, "", [&](const std::string& path, Node& node) {
    if (is_element(node)) return;
    const auto same_place = known.find(path);
    if (same_place != known.end() && same_place->second->text == node.text) return;
    const bool owner_is_known = known.count(path.substr(0, element_end(path))) != 0;
    if (owner_is_known) found[path] = node.text;
  });
  return found;
}

void restore_wording(Node& document, const std::map<std::string, std::string>& wording,
                     const std::function<bool(const Node& document)>& means_the_same) {
  Node all = document;
  for (const auto& [path, text] : wording) put(all, path, text);
  if (means_the_same(all)) {
    document = std::move(all);
    return;
  }
  for (const auto& [path, text] : wording) {
    Node next = document;
    put(next, path, text);
    if (means_the_same(next)) document = std::move(next);
  }
}

Node beyond(const Node& wanted, const Node& got) {
  Node more = Node::map();
  for (const Node& child : wanted.children) {
    const Node* other = got.find(child.key);
    if (other != nullptr && same(child, *other)) continue;
    if (other != nullptr && child.kind == Kind::Map && other->kind == Kind::Map) {
      more.add(child.key, beyond(child, *other));
    } else {
      more.push(child);
    }
  }
  for (const Node& child : got.children) {
    if (wanted.find(child.key) == nullptr) more.add(child.key, Node{});
  }
  return more;
}

void merge(Node& tree, const Node& more) {
  for (const Node& child : more.children) {
    Node* known = tree.find(child.key);
    if (child.kind == Kind::Null) {
      tree.erase(child.key);
    } else if (known != nullptr && known->kind == Kind::Map && child.kind == Kind::Map) {
      merge(*known, child);
    } else {
      tree.erase(child.key);
      tree.push(child);
    }
  }
}

}  // namespace safekit::codec
