#include "controllers/simulate/tree.h"

#include <charconv>

#include <fmt/format.h>

namespace safekit::sim {
namespace {

using doc::Node;

std::string text_at(const Node& tree, std::string_view name) {
  const Node* found = tree.find(name);
  return found != nullptr && found->is_scalar() ? found->text : std::string{};
}
bool flag_at(const Node& tree, std::string_view name) { return text_at(tree, name) == "true"; }

std::vector<Node> list_at(const Node& tree, std::string_view name) {
  const Node* found = tree.find(name);
  return found == nullptr ? std::vector<Node>{} : found->children;
}

template <class Number>
Result<Number> number_of(const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() && !text.empty()) return value;
  return Error{Code::Corrupt, fmt::format("'{}' is no number", text)};
}

std::string state_text(const NodeNow& now) {
  return now.up ? fmt::format("{} {}", to_string(now.role), to_string(now.readiness)) : std::string{"off"};
}

Node to_tree(const Interface& interface) {
  Node tree = Node::map();
  tree.add("name", Node::string(interface.name));
  tree.add("index", Node::number(std::to_string(interface.index)));
  tree.add("up", Node::boolean(interface.up));
  tree.add("carrier", Node::boolean(interface.carrier));
  tree.add("loopback", Node::boolean(interface.loopback));
  Node& addresses = tree.add("addresses", Node::list());
  for (const InterfaceAddress& address : interface.addresses) {
    addresses.push(Node::string(fmt::format("{}/{}", to_string(address.ip), address.prefix_length)));
  }
  return tree;
}

Result<Interface> interface_from(const Node& tree) {
  Interface interface{.name = text_at(tree, "name"),
                      .up = flag_at(tree, "up"),
                      .carrier = flag_at(tree, "carrier"),
                      .loopback = flag_at(tree, "loopback")};
  SK_TRY(interface.index, number_of<int>(text_at(tree, "index")));
  for (const Node& address : list_at(tree, "addresses")) {
    const std::size_t slash = address.text.find('/');
    if (slash == std::string::npos) return Error{Code::Corrupt, fmt::format("'{}' is no address with a length", address.text)};
    InterfaceAddress one;
    SK_TRY(one.ip, parse_ip(address.text.substr(0, slash)));
    SK_TRY(one.prefix_length, number_of<std::uint8_t>(address.text.substr(slash + 1)));
    interface.addresses.push_back(one);
  }
  return interface;
}

Node states(const std::array<std::string, 2>& nodes, const std::array<std::string, 2>& texts) {
  Node list = Node::list();
  for (std::size_t side = 0; side < 2; ++side) {
    Node& one = list.push(Node::map());
    one.add("node", Node::string(nodes[side]));
    one.add("state", Node::string(texts[side]));
  }
  return list;
}

}  // namespace

Node to_tree(const NodeNow& now) {
  Node tree = Node::map();
  tree.add("node", Node::string(now.name.str()));
  tree.add("role", Node::string(std::string{to_string(now.role)}));
  tree.add("readiness", Node::string(std::string{to_string(now.readiness)}));
  tree.add("upToDate", Node::boolean(now.up_to_date));
  tree.add("lastPrimary", Node::boolean(now.last_primary));
  Node& switches = tree.add("switches", Node::map());
  switches.add("errd", Node::boolean(now.settings.errd));
  switches.add("checker", Node::boolean(now.settings.checker));
  switches.add("failover", Node::boolean(now.settings.failover));
  Node& down = tree.add("down", Node::list());
  for (const std::string& resource : now.down) down.push(Node::string(resource));
  Node& silent = tree.add("silent", Node::list());
  for (const LanName& lan : now.silent) silent.push(Node::string(lan.str()));
  Node& interfaces = tree.add("interfaces", Node::list());
  for (const Interface& interface : now.interfaces) interfaces.push(to_tree(interface));
  return tree;
}

Result<NodeNow> node_now_from(const Node& tree) {
  const auto role = status::parse_role(text_at(tree, "role"));
  const auto readiness = status::parse_readiness(text_at(tree, "readiness"));
  const Node* switches = tree.find("switches");
  if (!role || !readiness || switches == nullptr) return Error{Code::Corrupt, "the other node's state is not what a safekitd says"};
  NodeNow now{.name = NodeName{text_at(tree, "node")},
              .up = true,
              .role = *role,
              .readiness = *readiness,
              .up_to_date = flag_at(tree, "upToDate"),
              .last_primary = flag_at(tree, "lastPrimary")};
  now.settings.errd = flag_at(*switches, "errd");
  now.settings.checker = flag_at(*switches, "checker");
  now.settings.failover = flag_at(*switches, "failover");
  for (const Node& resource : list_at(tree, "down")) now.down.push_back(resource.text);
  for (const Node& lan : list_at(tree, "silent")) now.silent.emplace_back(lan.text);
  for (const Node& one : list_at(tree, "interfaces")) {
    SK_TRY(auto interface, interface_from(one));
    now.interfaces.push_back(std::move(interface));
  }
  return now;
}

Node to_tree(const Situation& situation, const Forecast& forecast) {
  const std::array<std::string, 2> names{situation.nodes[0].name.str(), situation.nodes[1].name.str()};
  Node tree = Node::map();
  tree.add("kind", Node::string("Simulation"));
  tree.add("module", Node::string(situation.module.metadata.name));
  tree.add("begin", states(names, {state_text(situation.nodes[0]), state_text(situation.nodes[1])}));
  Node& steps = tree.add("steps", Node::list());
  for (const Step& step : forecast.steps) {
    Node& one = steps.push(Node::map());
    one.add("milliseconds", Node::number(std::to_string(step.at.count() / 1'000'000)));
    one.add("node", Node::string(step.node.str()));
    one.add("kind", Node::string(step.is_state ? "state" : "action"));
    one.add("text", Node::string(step.text));
  }
  tree.add("end", states(names, forecast.end));
  if (forecast.outage) tree.add("outageMilliseconds", Node::number(std::to_string(forecast.outage->count() / 1'000'000)));
  tree.add("serves", Node::boolean(forecast.serves));
  Node& notes = tree.add("notes", Node::list());
  for (const std::string& note : forecast.notes) notes.push(Node::string(note));
  return tree;
}

}  // namespace safekit::sim
