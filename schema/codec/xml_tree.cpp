#include "schema/codec/xml_tree.h"

#include <map>
#include <string>

#include <fmt/format.h>

#include "schema/codec/suggest.h"
#include "schema/codec/xml_value.h"

namespace safekit::codec {
namespace {

using doc::Kind;
using doc::Node;
using doc::Problems;

Node at_place(Node node, const Node& like) {
  node.at = like.at;
  node.key_at = like.key_at;
  return node;
}

Node& list_field(Node& tree, std::string_view field, const Node& like) {
  if (Node* list = tree.find(field)) return *list;
  return tree.add(std::string{field}, at_place(Node::list(), like));
}

/// Puts a value under `a` or `a.b`. An obsolete attribute never replaces the one that took its place.
void put(Node& tree, const XmlAttribute& attribute, Node value, const Node& like) {
  Node* target = &tree;
  std::string_view field = attribute.field;
  if (const std::size_t dot = field.find('.'); dot != std::string_view::npos) {
    const std::string_view outer = field.substr(0, dot);
    field = field.substr(dot + 1);
    target = tree.find(outer);
    if (target == nullptr) target = &tree.add(std::string{outer}, at_place(Node::map(), like));
  }
  if (target->find(field) != nullptr && attribute.as == As::Obsolete) return;
  target->erase(field);
  target->add(std::string{field}, at_place(std::move(value), like));
}

class FromXml {
 public:
  explicit FromXml(Problems& problems) : problems_(problems) {}

  void element(const XmlElement& grammar, const Node& element, Node& tree) {
    attributes(grammar, element, tree);
    std::map<std::string_view, int> seen;
    for (const Node& child : element.children) {
      if (child.key.starts_with('@')) continue;
      if (child.key == "#text") {
        text(grammar, child, tree);
      } else {
        this->child(grammar, element, child, tree, seen);
      }
    }
    for (const XmlChild& known : grammar.children) {
      if (!known.required || seen[known.element->name] > 0) continue;
      problems_.error(element.at, "no-value",
                      fmt::format("<{}> required in <{}>", known.element->name, grammar.name));
    }
  }

 private:
  void attributes(const XmlElement& grammar, const Node& element, Node& tree) {
    for (const Node& given : element.children) {
      if (!given.key.starts_with('@')) continue;
      const XmlAttribute* known = nullptr;
      for (const XmlAttribute& attribute : grammar.attributes) {
        if (attribute.name == std::string_view{given.key}.substr(1)) known = &attribute;
      }
      if (known == nullptr) {
        unknown_attribute(grammar, given);
        continue;
      }
      if (known->required && given.text.empty()) continue;  // reported below
      auto value = value_from_xml(*known, grammar.name, given, problems_);
      if (value && !known->field.empty()) put(tree, *known, std::move(*value), given);
    }
    for (const XmlAttribute& attribute : grammar.attributes) {
      if (!attribute.required) continue;
      const Node* given = element.find(fmt::format("@{}", attribute.name));
      if (given != nullptr && !given->text.empty()) continue;
      problems_.error(given != nullptr ? given->at : element.at, "no-value",
                      fmt::format("attribute {} of <{}> has no value", attribute.name, grammar.name),
                      fmt::format("write {}=\"...\"", attribute.name));
    }
  }

  void unknown_attribute(const XmlElement& grammar, const Node& given) {
    std::vector<std::string_view> names;
    for (const XmlAttribute& attribute : grammar.attributes) {
      if (attribute.as != As::Removed && attribute.as != As::Obsolete) names.push_back(attribute.name);
    }
    const std::string_view name = std::string_view{given.key}.substr(1);
    problems_.error(given.at, "unknown-attribute",
                    fmt::format("unknown attribute {} in tag <{}>", name, grammar.name),
                    suggestion(name, names));
  }

  void text(const XmlElement& grammar, const Node& child, Node& tree) {
    if (grammar.texts.empty()) {
      problems_.error(child.at, "unexpected-text", fmt::format("unexpected text in <{}>", grammar.name),
                      "remove it");
      return;
    }
    list_field(tree, grammar.texts, child).push(at_place(Node::string(child.text), child));
  }

  void child(const XmlElement& grammar, const Node& element, const Node& child, Node& tree,
             std::map<std::string_view, int>& seen) {
    if (child.key == "check" && grammar.name == "check") {
      problems_.warning(child.at, "nested-check", "<check> inside <check>: both are taken as one");
      return this->element(grammar, child, tree);
    }
    for (const XmlChild& known : grammar.children) {
      if (known.element->name != child.key) continue;
      const int count = ++seen[known.element->name];
      if (known.once && count > 1) {
        problems_.error(child.at, "only-one", fmt::format("only one <{}> allowed", child.key), "merge them");
        return;
      }
      if (child.key == "check" && count == 2) {
        problems_.warning(child.at, "several-checks", "more than one <check>: all are taken as one");
      }
      return known_child(known, child, tree);
    }
    unknown_child(grammar, element, child);
  }

  void known_child(const XmlChild& known, const Node& child, Node& tree) {
    switch (known.how) {
      case How::Merge: return element(*known.element, child, tree);
      case How::Map: {
        Node* section = tree.find(known.field);
        if (section == nullptr) section = &tree.add(std::string{known.field}, at_place(Node::map(), child));
        return element(*known.element, child, *section);
      }
      case How::List: {
        Node item = at_place(Node::map(), child);
        element(*known.element, child, item);
        list_field(tree, known.field, child).push(std::move(item));
        return;
      }
      case How::Texts: {
        Node ignored = Node::map();
        element(*known.element, child, ignored);
        const Node* value = child.find(fmt::format("@{}", known.element->attributes.front().name));
        if (value == nullptr || value->text.empty()) return;
        list_field(tree, known.field, child).push(at_place(Node::string(value->text), *value));
        return;
      }
      case How::Interface: return interface(known, child, tree);
    }
  }

  void interface(const XmlChild& known, const Node& child, Node& tree) {
    Node base = at_place(Node::map(), child);
    attributes(*known.element, child, base);
    bool found = false;
    for (const Node& part : child.children) {
      if (part.key.starts_with('@')) continue;
      const bool is_virtual = part.key == "virtual_interface";
      if (!is_virtual && part.key != "real_interface") {
        problems_.error(part.at, "unknown-tag", fmt::format("unexpected tag <{}> in <interface>", part.key),
                        suggestion(part.key, {"real_interface", "virtual_interface"}));
        continue;
      }
      found = true;
      Node item = base;
      element(is_virtual ? virtual_interface_grammar() : real_interface_grammar(), part, item);
      if (item.find("type") == nullptr) {
        item.add("type", at_place(Node::string(is_virtual ? "vmac_directed" : "real"), part));
        if (is_virtual && part.find("@type") == nullptr) {
          problems_.warning(part.at, "interface-type",
                            "<virtual_interface> has no type: vmac_directed is taken",
                            "write type=\"vmac_directed\"");
        }
      }
      list_field(tree, known.field, child).push(std::move(item));
    }
    if (!found) {
      problems_.error(child.at, "no-value",
                      "<real_interface> or <virtual_interface> required in <interface>");
    }
  }

  void unknown_child(const XmlElement& grammar, const Node& element, const Node& child) {
    if (is_removed_element(child.key)) {
      problems_.error(child.at, "removed", fmt::format("<{}> is no longer supported", child.key),
                      "remove it");
      return;
    }
    std::vector<std::string_view> names;
    for (const XmlChild& known : grammar.children) names.push_back(known.element->name);
    problems_.error(child.at, "unknown-tag",
                    fmt::format("unexpected tag <{}> in <{}>", child.key, element.key),
                    suggestion(child.key, names));
  }

  Problems& problems_;
};

const Node* field_of(const Node& tree, std::string_view field) {
  const std::size_t dot = field.find('.');
  if (dot == std::string_view::npos) return tree.find(field);
  const Node* outer = tree.find(field.substr(0, dot));
  return outer == nullptr ? nullptr : outer->find(field.substr(dot + 1));
}

Node to_element(const XmlElement& grammar, const Node& tree);

void add_children(const XmlChild& child, const Node& tree, Node& element) {
  if (child.how == How::Merge) {
    Node inner = to_element(*child.element, tree);
    if (!inner.children.empty() || child.required) element.push(std::move(inner));
    return;
  }
  const Node* value = tree.find(child.field);
  if (value == nullptr) return;
  if (child.how == How::Map) {
    // `checkers` is no optional section: empty, it was not written.
    if (!value->children.empty() || child.once) element.push(to_element(*child.element, *value));
    return;
  }
  for (const Node& item : value->children) {
    if (child.how == How::Texts) {
      Node part = Node::map();
      part.key = child.element->name;
      part.add(fmt::format("@{}", child.element->attributes.front().name), Node::string(item.text));
      element.push(std::move(part));
      continue;
    }
    Node part = to_element(*child.element, item);
    if (child.how == How::Interface) {
      const Node* type = item.find("type");
      const bool is_real = type == nullptr || type->text == "real";
      part.push(to_element(is_real ? real_interface_grammar() : virtual_interface_grammar(), item));
    }
    element.push(std::move(part));
  }
}

Node to_element(const XmlElement& grammar, const Node& tree) {
  Node element = Node::map();
  element.key = grammar.name;
  for (const XmlAttribute& attribute : grammar.attributes) {
    if (attribute.field.empty() || attribute.as == As::Obsolete) continue;
    const Node* value = field_of(tree, attribute.field);
    if (value != nullptr) {
      element.add(fmt::format("@{}", attribute.name), Node::string(value_to_xml(attribute, *value)));
    }
  }
  for (const XmlChild& child : grammar.children) add_children(child, tree, element);
  if (!grammar.texts.empty()) {
    if (const Node* texts = tree.find(grammar.texts)) {
      for (const Node& text : texts->children) element.add("#text", Node::string(text.text));
    }
  }
  return element;
}

}  // namespace

Node tree_from_xml(const XmlElement& grammar, const Node& element, Problems& problems) {
  Node tree = at_place(Node::map(), element);
  FromXml{problems}.element(grammar, element, tree);
  return tree;
}

Node tree_to_xml(const XmlElement& grammar, const Node& tree) {
  return to_element(grammar, tree);
}

}  // namespace safekit::codec
