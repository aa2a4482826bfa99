#include "schema/codec/shorthand.h"

#include <set>
#include <string>

#include <fmt/format.h>

namespace safekit::codec {
namespace {

using doc::Kind;
using doc::Node;
using doc::Problems;

Node named(const Node& like, Kind kind) {
  Node node;
  node.kind = kind;
  node.at = node.key_at = like.at;
  return node;
}

/// The map `name` of `spec`, made if it is not there. Null: it is there and is no map; decode will say so.
Node* section(Node& spec, std::string_view name, const Node& like) {
  if (Node* found = spec.find(name)) return found->kind == Kind::Map ? found : nullptr;
  return &spec.add(std::string{name}, named(like, Kind::Map));
}

void move_list(Node& spec, std::string_view from, std::string_view to, std::string_view field, Node list,
               Problems& problems) {
  const Node origin = *spec.find(from);
  spec.erase(from);
  Node* target = section(spec, to, origin);
  if (target == nullptr) return;
  if (target->find(field) != nullptr) {
    problems.error(origin.key_at, "duplicate-field",
                   fmt::format("both '{}' and '{}.{}' are given", from, to, field), "keep one of them");
    return;
  }
  list.at = origin.at;
  list.key_at = origin.key_at;
  target->add(std::string{field}, std::move(list));
}

/// One interface for each name that the addresses give.
Node interfaces_of(const Node& addresses) {
  Node interfaces = named(addresses, Kind::List);
  for (const Node& item : addresses.children) {
    Node address = item;
    const Node* name_node = item.kind == Kind::Map ? item.find("interface") : nullptr;
    const std::string name = name_node != nullptr ? name_node->text : std::string{};
    address.erase("interface");
    Node* target = nullptr;
    for (Node& interface : interfaces.children) {
      const Node* known = interface.find("name");
      if ((known != nullptr ? known->text : std::string{}) == name) target = &interface;
    }
    if (target == nullptr) {
      target = &interfaces.push(named(item, Kind::Map));
      if (name_node != nullptr) {
        Node copy = *name_node;
        target->add("name", std::move(copy));
      }
      target->add("addresses", named(item, Kind::List));
    }
    target->find("addresses")->push(std::move(address));
  }
  return interfaces;
}

bool is_farm(const Node& spec) {
  const Node* mode = spec.find("mode");
  return mode != nullptr && mode->text == "farm";
}

/// In a farm an interface without a type is directed, elsewhere real: the words on the interfaces of `spec`
/// change from meaning `left_out` by their absence to meaning `implied` by it.
void retype_interfaces(Node& spec, std::string_view left_out, std::string_view implied) {
  Node* vip = spec.find("vip");
  Node* interfaces = vip != nullptr ? vip->find("interfaces") : nullptr;
  if (interfaces == nullptr) return;
  for (Node& interface : interfaces->children) {
    if (interface.kind != Kind::Map) continue;
    const Node* type = interface.find("type");
    if (type != nullptr && type->text == implied) {
      interface.erase("type");
    } else if (type == nullptr) {
      Node written = Node::string(std::string{left_out});
      written.at = written.key_at = interface.at;
      interface.add("type", std::move(written));
    }
  }
}

/// The addresses of all interfaces as one list; nothing when an interface says more than its name and its
/// addresses.
Node plain_addresses(const Node& interfaces) {
  Node addresses = Node::list();
  std::set<std::string> names;
  for (const Node& interface : interfaces.children) {
    std::string name;
    const Node* list = nullptr;
    for (const Node& field : interface.children) {
      if (field.key == "addresses") list = &field;
      if (field.key == "name") name = field.text;
      if (field.key != "addresses" && field.key != "name") return Node::list();
    }
    if (list == nullptr || list->children.empty() || !names.insert(name).second) return Node::list();
    for (const Node& item : list->children) {
      Node address = item;
      if (!name.empty()) {
        if (address.kind != Kind::Map) {
          address = Node::map();
          address.add("address", item);
        }
        address.add("interface", Node::string(name));
      }
      addresses.push(std::move(address)).key.clear();
    }
  }
  return addresses;
}

/// Takes `field` out of the section `name` and puts it as `short_name` where the section was; what is left of
/// the section follows.
void fold(Node& spec, std::string_view name, std::string_view field, std::string short_name, Node value) {
  Node* section = spec.find(name);
  Node rest = *section;
  rest.erase(field);
  value.key = std::move(short_name);
  *section = std::move(value);
  const auto place = section - spec.children.data();
  if (!rest.children.empty()) spec.children.insert(spec.children.begin() + place + 1, std::move(rest));
}

}  // namespace

Node expand_shorthand(const Node& spec, Problems& problems) {
  Node out = spec;
  if (const Node* addresses = spec.find("virtualIPs")) {
    if (addresses->kind == Kind::List) {
      move_list(out, "virtualIPs", "vip", "interfaces", interfaces_of(*addresses), problems);
    } else {
      out.erase("virtualIPs");
      problems.error(addresses->at, "invalid-value", "virtualIPs is no list (expected: a list of addresses)",
                     "write '- ' before each address");
    }
  }
  if (const Node* processes = spec.find("processes")) {
    move_list(out, "processes", "errd", "processes", *processes, problems);
  }
  if (is_farm(spec)) retype_interfaces(out, "vmac_directed", "real");
  return out;
}

Node fold_shorthand(const Node& spec) {
  Node out = spec;
  if (is_farm(spec)) retype_interfaces(out, "real", "vmac_directed");
  if (const Node* vip = out.find("vip"); vip != nullptr && vip->find("interfaces") != nullptr) {
    Node addresses = plain_addresses(*vip->find("interfaces"));
    if (!addresses.children.empty()) fold(out, "vip", "interfaces", "virtualIPs", std::move(addresses));
  }
  if (const Node* errd = out.find("errd"); errd != nullptr && errd->find("processes") != nullptr) {
    Node processes = *errd->find("processes");
    fold(out, "errd", "processes", "processes", std::move(processes));
  }
  return out;
}

Node keyed_to_list(const Node& map, std::string_view key, std::string_view value) {
  Node list = named(map, Kind::List);
  for (const Node& child : map.children) {
    Node item = child.kind == Kind::Map ? child : named(child, Kind::Map);
    item.key.clear();
    if (child.kind != Kind::Map && child.kind != Kind::Null) item.add(std::string{value}, child);
    Node name = Node::string(child.key);
    name.at = name.key_at = child.key_at;
    item.add(std::string{key}, std::move(name));
    list.push(std::move(item));
  }
  return list;
}

Node list_to_keyed(const Node& list, std::string_view key, std::string_view value) {
  Node map = Node::map();
  for (const Node& item : list.children) {
    const Node* name = item.find(key);
    if (name == nullptr || map.find(name->text) != nullptr) return list;
    Node rest = item;
    const std::string text = name->text;
    rest.erase(key);
    const Node* only = rest.children.size() == 1 ? rest.find(value) : nullptr;
    Node entry = only != nullptr ? *only : rest;
    if (rest.children.empty()) entry = Node{};
    map.add(text, std::move(entry));
  }
  return map;
}

}  // namespace safekit::codec
