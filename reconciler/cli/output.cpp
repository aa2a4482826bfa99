#include "reconciler/cli/output.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "reconciler/api/request.h"
#include "schema/doc/json.h"
#include "schema/doc/yaml.h"

namespace safekit::cli {
namespace {

using api::text_at;
using doc::Node;

const std::vector<Node>& children_at(const Node& tree, std::initializer_list<std::string_view> path) {
  static const std::vector<Node> kNone{};
  const Node* node = &tree;
  for (const std::string_view name : path) {
    node = node->find(name);
    if (node == nullptr) return kNone;
  }
  return node->children;
}

/// Printed width: bytes without escape sequences (names and states are ASCII).
std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  bool in_escape = false;
  for (const char c : text) {
    if (c == '\x1b') in_escape = true;
    if (!in_escape && (static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++width;
    if (c == 'm') in_escape = false;
  }
  return width;
}

/// `2026-11-23T20:00:11.123456Z` to `2026-11-23 20:00:11`.
std::string short_time(const std::string& time) {
  if (time.size() < 19) return time;
  std::string text = time.substr(0, 19);
  text[10] = ' ';
  return text;
}

std::string conditions_of(const Node& module) {
  std::string text;
  for (const Node& condition : children_at(module, {"status", "conditions"})) {
    if (text_at(condition, {"status"}) == "True")
      text += (text.empty() ? "" : ",") + text_at(condition, {"type"});
  }
  return text;
}

std::string up_to_date_of(const Node& node) {
  const std::string value = text_at(node, {"upToDate"});
  return value == "true" ? "yes" : value == "false" ? "no" : "-";
}

/// The role's own reason, else what it may be waiting for.
std::string why_not_ready(const Node& node) {
  std::string text;
  const auto add = [&](const std::string& why) {
    if (!why.empty() && text.find(why) == std::string::npos) text += fmt::format("    {}\n", why);
  };
  add(text_at(node, {"reason"}));
  add(text_at(node, {"replication", "problem"}));
  add(text_at(node, {"addresses", "problem"}));
  if (const std::string script = text_at(node, {"script", "name"}); text_at(node, {"script", "running"}) == "true") {
    const std::string output = text_at(node, {"script", "outputFile"});
    add(fmt::format("script {} is running{}; `safekit forcestop` does not wait for it", script,
                    output.empty() ? "" : ", its output is in " + output));
  }
  return text;
}

}  // namespace

std::string coloured(std::string_view text, Colour colour, bool on) {
  if (!on || colour == Colour::None) return std::string{text};
  const std::string_view code = colour == Colour::Green ? "32" : colour == Colour::Yellow ? "33" : "31";
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

Colour colour_of(std::string_view readiness) {
  if (readiness == "Ready") return Colour::Green;
  if (readiness == "Transient") return Colour::Yellow;
  if (readiness == "NotReady") return Colour::Red;
  return Colour::None;
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - width_of(row[i]) + 2, ' ');
    }
    while (line.ends_with(' ')) line.pop_back();
    text += line + "\n";
  }
  return text;
}

Result<Form> parse_form(const std::string& word) {
  if (word.empty() || word == "table") return Form::Table;
  if (word == "wide") return Form::Wide;
  if (word == "yaml") return Form::Yaml;
  if (word == "json") return Form::Json;
  if (word == "name") return Form::Name;
  return Error{Code::Invalid,
               fmt::format("-o '{}' is not known; there are table, wide, yaml, json, name", word)};
}

std::string printed(const Node& tree, Form form) {
  return form == Form::Json ? doc::print_json(tree) : doc::print_yaml(tree);
}

std::string node_state(const Node& node, bool colours) {
  const std::string readiness = text_at(node, {"readiness"});
  const std::string state =
      readiness.empty() ? text_at(node, {"role"}) : fmt::format("{}({})", text_at(node, {"role"}), readiness);
  return text_at(node, {"name"}) + "=" + coloured(state, colour_of(readiness), colours);
}

std::string log_line(const status::Event& event) {
  return fmt::format("| {} | {:>10} | {} | {}\n", to_log_string(event.time), event.component, event.level,
                     event.text);
}

std::string state_text(const std::string& module, const Node& status, bool verbose, bool colours) {
  std::string text = fmt::format("------------------- {} State -------------------\n", module);
  Table resources{{"    Resource", "Value", "Since"}};
  bool has_resources = false;
  for (const Node& node : children_at(status, {"nodes"})) {
    const bool local = text_at(node, {"local"}) == "true";
    const std::string readiness = text_at(node, {"readiness"});
    const std::string state = text_at(node, {"role"}) + (readiness.empty() ? "" : " (" + readiness + ")");
    text += fmt::format("  {:<6} {:<14}: {}\n", local ? "Local" : "Remote",
                        "(" + text_at(node, {"name"}) + ")", coloured(state, colour_of(readiness), colours));
    if (readiness != "Ready" && local) text += why_not_ready(node);
    for (const Node& resource : children_at(node, {"resources"})) {
      resources.add(
          {"    " + resource.key, text_at(resource, {"value"}), short_time(text_at(resource, {"since"}))});
      has_resources = true;
    }
  }
  for (const Node& condition : children_at(status, {"conditions"})) {
    const bool is_bad_news =
        text_at(condition, {"status"}) == "True" && text_at(condition, {"type"}) == "ConfigConflict";
    if (is_bad_news || verbose) {
      const std::string message = text_at(condition, {"message"});
      text += fmt::format("  {}={} {}{}{}\n", text_at(condition, {"type"}), text_at(condition, {"status"}),
                          text_at(condition, {"reason"}), message.empty() ? "" : ": ", message);
    }
  }
  if (verbose && has_resources) text += "\n" + resources.text();
  return text;
}

std::string rules_text(const std::string& module, const Node& status) {
  constexpr std::array<std::string_view, 4> kStates{"holds", "is not known yet", "does not hold", "is switched off"};
  std::string text;
  for (const Node& node : children_at(status, {"nodes"})) {
    if (text_at(node, {"local"}) != "true") continue;
    text += fmt::format("module {} on {}: {}\n", module, text_at(node, {"name"}), text_at(node, {"role"}));
    if (const std::string waits = text_at(node, {"waitingFor"}); !waits.empty()) {
      text += fmt::format("  held by rule {} since {}\n", waits, short_time(text_at(node, {"since"})));
    }
    for (const Node& one : children_at(node, {"evidence"})) text += fmt::format("    {}\n", one.text);
    for (const std::string_view state : kStates) {
      for (const Node& rule : children_at(node, {"rules"})) {
        if (text_at(rule, {"state"}) != state) continue;
        std::string because;
        for (const Node& one : children_at(rule, {"because"})) because += (because.empty() ? "" : ", ") + one.text;
        text += fmt::format("  {} {} since {}{}\n    if ({}) then {}()\n", rule.key, state, short_time(text_at(rule, {"since"})),
                            because.empty() ? std::string{} : ": " + because, text_at(rule, {"condition"}), text_at(rule, {"action"}));
      }
    }
  }
  return text;
}

std::string modules_table(const std::vector<Node>& modules, bool wide, bool colours) {
  std::vector<std::string> header{"NAME", "MODE", "GENERATION", "NODES"};
  if (wide) header.insert(header.end(), {"UP-TO-DATE", "SINCE", "CONDITIONS"});
  Table table{std::move(header)};
  for (const Node& module : modules) {
    std::string states;
    std::string up_to_date;
    std::string since = "-";
    for (const Node& node : children_at(module, {"status", "nodes"})) {
      states += (states.empty() ? "" : " ") + node_state(node, colours);
      up_to_date += (up_to_date.empty() ? "" : ",") + up_to_date_of(node);
      if (text_at(node, {"local"}) == "true") since = short_time(text_at(node, {"since"}));
    }
    if (states.empty()) {
      for (const Node& node : children_at(module, {"spec", "nodes"}))
        states += (states.empty() ? "" : " ") + node.text;
      up_to_date = "-";
    }
    const std::string mode = text_at(module, {"spec", "mode"});
    std::vector<std::string> row{text_at(module, {"metadata", "name"}), mode.empty() ? "mirror" : mode,
                                 text_at(module, {"metadata", "generation"}), states};
    if (wide) row.insert(row.end(), {up_to_date, since, conditions_of(module)});
    table.add(std::move(row));
  }
  return table.text();
}

std::string clusters_table(const std::vector<Node>& clusters) {
  Table table{{"NAME", "GENERATION", "LANS", "APPLIED", "BY"}};
  for (const Node& cluster : clusters) {
    std::string lans;
    for (const Node& lan : children_at(cluster, {"spec", "lans"}))
      lans += (lans.empty() ? "" : ",") + text_at(lan, {"name"});
    table.add({text_at(cluster, {"metadata", "name"}), text_at(cluster, {"metadata", "generation"}), lans,
               short_time(text_at(cluster, {"status", "applied", "at"})),
               text_at(cluster, {"status", "applied", "by"})});
  }
  return table.text();
}

std::string nodes_table(const Node& list, bool colours) {
  Table table{{"NAME", "STATE", "ADDRESSES"}};
  for (const Node& node : children_at(list, {"items"})) {
    std::string lans;
    for (const Node& lan : children_at(node, {"lans"})) {
      const std::string state = text_at(lan, {"state"});
      lans += fmt::format("{}{}={}{}", lans.empty() ? "" : " ", lan.key, text_at(lan, {"address"}),
                          state.empty() ? "" : "(" + state + ")");
    }
    const bool reachable = text_at(node, {"reachable"}) == "true";
    std::string state =
        coloured(reachable ? "Ready" : "Unreachable", reachable ? Colour::Green : Colour::Red, colours);
    table.add(
        {text_at(node, {"name"}), state + (text_at(node, {"local"}) == "true" ? " (this node)" : ""), lans});
  }
  std::string text = table.text();
  for (const Node& node : children_at(list, {"items"})) {
    const std::string problem = text_at(node, {"problem"});
    if (!problem.empty()) text += fmt::format("{}: {}\n", text_at(node, {"name"}), problem);
  }
  return text;
}

std::string description(const Node& module, const std::vector<status::Event>& events, bool colours) {
  std::string text = fmt::format(
      "Name:        {}\nGeneration:  {} (applied {} by {} on {})\n", text_at(module, {"metadata", "name"}),
      text_at(module, {"metadata", "generation"}), short_time(text_at(module, {"status", "applied", "at"})),
      text_at(module, {"status", "applied", "by"}), text_at(module, {"status", "applied", "on"}));
  if (const Node* labels = module.find("metadata")->find("labels");
      labels != nullptr && !labels->children.empty()) {
    text += "Labels:\n";
    for (const Node& label : labels->children) text += fmt::format("  {}: {}\n", label.key, label.text);
  }
  text += "Nodes:\n";
  for (const Node& node : children_at(module, {"status", "nodes"})) {
    text += "  " + node_state(node, colours) + "\n";
    const auto line = [&text](std::string_view title, const std::string& value) {
      if (!value.empty()) text += fmt::format("    {:<13}{}\n", title, value);
    };
    line("Since:", short_time(text_at(node, {"since"})));
    line("Reason:", text_at(node, {"reason"}));
    line("Waiting for:", text_at(node, {"waitingFor"}));
    line("Up to date:", up_to_date_of(node) == "-" ? "" : up_to_date_of(node));
    line("Replication:", text_at(node, {"replication", "phase"}));
    line("Problem:", text_at(node, {"replication", "problem"}));
    line("Addresses:", text_at(node, {"addresses", "problem"}));
    line("Script:", text_at(node, {"script", "name"}));
    const std::string moved = text_at(node, {"lastMove", "text"});
    line("Took role:", moved.empty() ? moved : fmt::format("{}, {}", short_time(text_at(node, {"lastMove", "began"})), moved));
    for (const Node& heartbeat : children_at(node, {"heartbeats"}))
      line("Heartbeat:", heartbeat.key + " " + heartbeat.text);
  }
  if (const auto& conditions = children_at(module, {"status", "conditions"}); !conditions.empty()) {
    Table table{{"  TYPE", "STATUS", "REASON", "MESSAGE"}};
    for (const Node& condition : conditions) {
      table.add({"  " + text_at(condition, {"type"}), text_at(condition, {"status"}),
                 text_at(condition, {"reason"}), text_at(condition, {"message"})});
    }
    text += "Conditions:\n" + table.text();
  }
  if (const Node* spec = module.find("spec"); spec != nullptr) {
    text += "Spec:\n";
    std::string yaml = doc::print_yaml(*spec);
    for (std::size_t at = 0; at < yaml.size();) {
      const std::size_t end = std::min(yaml.find('\n', at), yaml.size());
      text += (end == at ? "" : "  " + yaml.substr(at, end - at)) + "\n";
      at = end + 1;
    }
  }
  text += "Events:\n";
  if (events.empty()) text += "  none\n";
  for (const status::Event& event : events) text += "  " + log_line(event);
  return text;
}

}  // namespace safekit::cli
