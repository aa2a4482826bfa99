#include "schema/codec/safekit_xml.h"

#include <fmt/format.h>

#include "schema/codec/as_written.h"
#include "schema/codec/encode.h"
#include "schema/codec/macros.h"
#include "schema/codec/suggest.h"
#include "schema/codec/xml_tree.h"
#include "schema/doc/json.h"
#include "schema/doc/xml.h"

namespace safekit::codec {
namespace {

using doc::Node;
using doc::Problems;
using spec::Dialect;

constexpr std::string_view kClusterName = "cluster";  // a node belongs to one: it needs no other name

void place_all(Node& node, doc::Position at) {
  node.at = node.key_at = at;
  for (Node& child : node.children) place_all(child, at);
}

/// What `<?safekit {json}?>` says, at the place where it stands.
Node instruction_of(const Node& document, Problems& problems) {
  const Node* instruction = document.find("?safekit");
  if (instruction == nullptr) return Node::map();
  Problems inner{problems.file()};
  auto parsed = doc::parse_json(instruction->text, inner);
  if (parsed.empty() || parsed.front().kind != doc::Kind::Map) {
    problems.error({1, 1}, "syntax", "the text of <?safekit ...?> is no JSON map", "remove it");
    return Node::map();
  }
  place_all(parsed.front(), {1, 1});
  return std::move(parsed.front());
}

/// The one `<service>`; null when it is not there.
const Node* service_of(const Node& safe, Problems& problems) {
  const Node* service = nullptr;
  for (const Node& child : safe.children) {
    const std::string_view key = child.key;
    if (key == "service" && service == nullptr) {
      service = &child;
    } else if (key == "service") {
      problems.error(child.at, "only-one", "only one <service> allowed",
                     "put each module in a file of its own");
    } else if (key.starts_with('@')) {
      problems.error(child.at, "unknown-attribute",
                     fmt::format("unknown attribute {} in tag <safe>", key.substr(1)), "remove it");
    } else if (is_removed_element(key)) {
      problems.error(child.at, "removed", fmt::format("<{}> is no longer supported", key), "remove it");
    } else {
      problems.error(child.at, "unknown-tag", fmt::format("unexpected tag <{}> in <safe>", key),
                     suggestion(key, {"macro", "service"}));
    }
  }
  if (service == nullptr) problems.error(safe.at, "no-value", "<service> required in <safe>");
  return service;
}

Node spec_tree(const Node& root, const spec::Cluster&, Problems& problems) {
  return tree_from_xml(cluster_grammar(), root, problems);
}
Node spec_tree(const Node& root, const spec::Module&, Problems& problems) {
  const Node* service = service_of(root, problems);
  return service == nullptr ? Node::map() : tree_from_xml(service_grammar(), *service, problems);
}

Node plain_document(const spec::Cluster& cluster) {
  Node document = Node::map();
  document.push(
      tree_to_xml(cluster_grammar(), encode_spec(cluster, Dialect::SafekitXml, Fill::LeaveOutDefaults)));
  return document;
}
Node plain_document(const spec::Module& module) {
  Node safe = Node::map();
  for (const spec::Macro& macro : module.xml.macros) {
    Node& element = safe.add("macro", Node::map());
    element.add("@name", Node::string(macro.name));
    element.add("@value", Node::string(macro.value));
  }
  safe.push(tree_to_xml(service_grammar(), encode_spec(module, Dialect::SafekitXml, Fill::LeaveOutDefaults)));
  Node document = Node::map();
  document.add("safe", std::move(safe));
  return document;
}

std::string_view default_name(const spec::Cluster&) {
  return kClusterName;
}
std::string_view default_name(const spec::Module&) {
  return {};
}

/// The meaning of a document, with what of its macros and environment was used; its wording is not kept here.
template <class T>
T meaning(const Node& document, const Environment& environment, Positions& positions, Problems& problems) {
  T object;
  object.metadata.name = default_name(object);
  Node root;
  for (const Node& child : document.children) {
    if (!child.key.starts_with('?')) root = child;
  }
  spec::WrittenXml used;
  expand_macros(root, environment, used, problems);
  Node tree = spec_tree(root, object, problems);
  const Node instruction = instruction_of(document, problems);
  if (const Node* more = instruction.find("spec")) merge(tree, *more);
  positions.note("spec", root.at);
  decode_spec(tree, Dialect::SafekitXml, object, positions, problems);
  if (const Node* metadata = instruction.find("metadata")) {
    decode_metadata(*metadata, object.metadata, positions, problems);
  }
  object.xml = std::move(used);
  return object;
}

/// XML has no "by mode" for these: what is meant is written out in it, and taken back when it is read.
void spell_out(spec::Cluster&) {}
void spell_out(spec::Module& module) {
  if (module.vip) {
    for (spec::VipInterface& interface : module.vip->interfaces) {
      for (spec::VirtualAddress& address : interface.addresses) address.where = where_of(module, address);
    }
  }
  if (module.errd) {
    for (spec::Process& process : module.errd->processes) process.watch_class = class_of(module, process);
  }
  for (spec::TcpChecker& tcp : module.checkers.tcp) tcp.when = when_of(module, tcp);
  for (spec::CustomChecker& custom : module.checkers.custom) custom.when = when_of(module, custom);
  for (spec::IpChecker& ip : module.checkers.ip) ip.when = when_of(module, ip);
}

void take_back(spec::Cluster&) {}
void take_back(spec::Module& module) {
  if (module.vip) {
    for (spec::VipInterface& interface : module.vip->interfaces) {
      for (spec::VirtualAddress& address : interface.addresses) {
        if (address.where == where_of(module, {})) address.where.reset();
      }
    }
  }
  if (module.errd) {
    for (spec::Process& process : module.errd->processes) {
      if (process.watch_class == class_of(module, {})) process.watch_class.clear();
    }
  }
  const auto drop = [&](auto& checkers) {
    for (auto& checker : checkers) {
      if (checker.when == default_when(module)) checker.when.reset();
    }
  };
  drop(module.checkers.tcp);
  drop(module.checkers.custom);
  drop(module.checkers.ip);
}

template <class T>
Decoded decode_as(const Node& document, const Environment& environment, Problems& problems) {
  Decoded decoded;
  T object = meaning<T>(document, environment, decoded.positions, problems);
  Node written = document;
  written.erase("?safekit");
  for (Node& child : written.children) child.erase("macro");
  take_back(object);
  T plain = object;
  plain.xml = {};
  spell_out(plain);
  object.xml.text = wording(written, plain_document(plain));
  decoded.object = std::move(object);
  return decoded;
}

template <class T>
Node whole(const T& object, Fill fill) {
  Node tree = encode_spec(object, Dialect::Ours, fill);
  tree.erase("xml");
  Node all = Node::map();
  all.add("metadata", encode_metadata(object.metadata));
  all.add("spec", std::move(tree));
  return all;
}

void drop_empty_maps(Node& node) {
  for (Node& child : node.children) drop_empty_maps(child);
  std::erase_if(node.children,
                [](const Node& child) { return child.kind == doc::Kind::Map && child.children.empty(); });
}

template <class T>
Node encode_as(T object) {
  spell_out(object);
  const auto read_back = [&](const Node& document) {
    Problems ignored;
    Positions positions;
    T back = meaning<T>(document, object.xml.environment, positions, ignored);
    spell_out(back);
    return std::pair{back, !ignored.has_errors()};
  };
  const auto comparable = [](T value) {
    value.xml = {};
    return value;
  };
  Node document = plain_document(object);
  const std::pair<T, bool> plain = read_back(document);
  restore_wording(document, object.xml.text, [&](const Node& candidate) {
    const auto [back, ok] = read_back(candidate);
    return ok == plain.second && comparable(back) == comparable(plain.first);
  });
  Node more = beyond(whole(object, Fill::EveryField), whole(read_back(document).first, Fill::EveryField));
  drop_empty_maps(more);
  if (!more.children.empty()) {
    std::string json = print_json(more, doc::JsonForm::Compact);
    // `?>` would end the instruction.
    for (std::size_t at = json.find("?>"); at != std::string::npos; at = json.find("?>", at)) {
      json.replace(at, 2, "?\\u003e");
    }
    document.children.insert(document.children.begin(), Node::string(std::move(json)));
    document.children.front().key = "?safekit";
  }
  return document;
}

}  // namespace

std::optional<Decoded> decode_xml(const Node& document, const Environment& environment, Problems& problems) {
  for (const Node& child : document.children) {
    if (child.key == "safe") return decode_as<spec::Module>(document, environment, problems);
    if (child.key == "cluster") return decode_as<spec::Cluster>(document, environment, problems);
    if (child.key.starts_with('?')) continue;
    problems.error(child.at, "root", fmt::format("the root element is <{}>", child.key),
                   "it must be <safe> (a module) or <cluster>");
  }
  return std::nullopt;
}

Node encode_xml(const spec::Cluster& cluster) {
  return encode_as(cluster);
}
Node encode_xml(const spec::Module& module) {
  return encode_as(module);
}

std::string print_safekit_xml(const spec::Cluster& cluster) {
  return doc::print_xml(encode_xml(cluster));
}
std::string print_safekit_xml(const spec::Module& module) {
  return doc::print_xml(encode_xml(module), "safe");
}

std::string print_expanded_xml(const spec::Module& module) {
  spec::Module expanded = module;
  expanded.xml = {};
  spell_out(expanded);
  const auto made = generated_ip_checkers(module);
  expanded.checkers.ip.insert(expanded.checkers.ip.end(), made.begin(), made.end());
  return doc::print_xml(plain_document(expanded), "safe");
}

}  // namespace safekit::codec
