#include "schema/codec/macros.h"

#include <fmt/format.h>

namespace safekit::codec {
namespace {

using doc::Node;
using doc::Problems;

bool is_name(std::string_view text) {
  if (text.empty() || (text.front() >= '0' && text.front() <= '9')) return false;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && !(c >= '0' && c <= '9')) return false;
  }
  return true;
}

class Expander {
 public:
  Expander(const std::map<std::string, std::string>& environment, spec::WrittenXml& used, Problems& problems)
      : environment_(environment), used_(used), problems_(problems) {}

  void define(const Node& macro) {
    const Node* name = macro.find("@name");
    const Node* value = macro.find("@value");
    for (const Node& child : macro.children) {
      if (&child == name || &child == value) continue;
      problems_.error(child.at, "unknown-attribute", fmt::format("unexpected {} in tag <macro>", child.key));
    }
    if (name == nullptr || !is_name(name->text)) {
      problems_.error(name != nullptr ? name->at : macro.at, "no-value",
                      "attribute name of <macro> is no name", "use letters, digits and '_', a letter first");
      return;
    }
    if (value == nullptr) {
      problems_.error(macro.at, "no-value", "attribute value of <macro> has no value", "write value=\"...\"");
      return;
    }
    // Its own value is expanded before it is known: a macro cannot contain itself.
    Node text = *value;
    expand(text);
    used_.macros.push_back({name->text, value->text});
    if (!macros_.emplace(name->text, text.text).second) {
      problems_.error(name->at, "macro-twice", fmt::format("macro {} defined twice", name->text),
                      "remove one");
    }
  }

  void expand_all(Node& node) {
    if (node.is_scalar()) return expand(node);
    for (Node& child : node.children) expand_all(child);
  }

 private:
  void expand(Node& node) {
    std::string out;
    std::string_view rest = node.text;
    while (true) {
      const std::size_t open = rest.find('%');
      const std::size_t close = open == std::string_view::npos ? open : rest.find('%', open + 1);
      if (close == std::string_view::npos) break;
      const std::string name{rest.substr(open + 1, close - open - 1)};
      if (!is_name(name)) {
        out += rest.substr(0, close);
        rest.remove_prefix(close);
        continue;
      }
      out += rest.substr(0, open);
      if (const std::string* value = find(name)) {
        out += *value;
      } else {
        problems_.warning(node.at, "macro-unknown", fmt::format("%{}% not defined", name),
                          fmt::format("add <macro name=\"{}\" value=\"...\"/>", name));
        out += fmt::format("%{}%", name);
      }
      rest.remove_prefix(close + 1);
    }
    node.text = out + std::string{rest};
  }

  const std::string* find(const std::string& name) {
    if (const auto macro = macros_.find(name); macro != macros_.end()) return &macro->second;
    const auto variable = environment_.find(name);
    if (variable == environment_.end()) return nullptr;
    used_.environment[name] = variable->second;
    return &variable->second;
  }

  const std::map<std::string, std::string>& environment_;
  spec::WrittenXml& used_;
  Problems& problems_;
  std::map<std::string, std::string> macros_{};
};

}  // namespace

void expand_macros(Node& safe, const std::map<std::string, std::string>& environment, spec::WrittenXml& used,
                   Problems& problems) {
  Expander expander{environment, used, problems};
  std::vector<Node> rest;
  for (Node& child : safe.children) {
    if (child.key == "macro") {
      expander.define(child);
    } else {
      expander.expand_all(child);
      rest.push_back(std::move(child));
    }
  }
  safe.children = std::move(rest);
}

}  // namespace safekit::codec
