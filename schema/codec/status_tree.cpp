#include "schema/codec/status_tree.h"

#include <string>
#include <utility>

namespace safekit::codec {
namespace {

using doc::Node;

void add_text(Node& map, const char* name, std::string_view text) {
  if (!text.empty()) map.add(name, Node::string(std::string{text}));
}
void add_flag(Node& map, const char* name, bool value) {
  map.add(name, Node::boolean(value));
}
void add_number(Node& map, const char* name, std::uint64_t value) {
  map.add(name, Node::number(std::to_string(value)));
}
void add_time(Node& map, const char* name, WallTime time) {
  if (time.ns != 0) map.add(name, Node::string(to_string(time)));
}

std::string_view name_of(status::ReplicaOrder::Role role) {
  switch (role) {
    case status::ReplicaOrder::Role::None: return "None";
    case status::ReplicaOrder::Role::Idle: return "Idle";
    case status::ReplicaOrder::Role::Primary: return "Primary";
    case status::ReplicaOrder::Role::Secondary: return "Secondary";
  }
  return "None";
}

Node replication_tree(const status::ReplicationSection& seen, const status::ReplicaOrder& wanted) {
  Node tree = Node::map();
  add_text(tree, "wanted", name_of(wanted.role));
  add_flag(tree, "running", seen.alive);
  add_flag(tree, "connected", seen.connected);
  add_flag(tree, "peerSynchronised", seen.peer_synchronised);
  if (seen.unverified) add_flag(tree, "unverified", true);
  if (seen.inconsistent) add_flag(tree, "inconsistent", true);
  if (seen.restorable) add_flag(tree, "oldCopyKept", true);
  if (seen.diverged) add_flag(tree, "diverged", true);
  add_text(tree, "phase", seen.phase);
  add_number(tree, "filesTotal", seen.files_total);
  add_number(tree, "filesDone", seen.files_done);
  add_number(tree, "bytesCopied", seen.bytes_copied);
  if (seen.generation != 0) {
    // A string: a random 64-bit number does not fit the numbers of most JSON readers.
    tree.add("dataGeneration", Node::string(fmt::format("{:016x}", seen.generation)));
  }
  add_text(tree, "problem", seen.problem);
  return tree;
}

Node script_tree(const status::RoleSection& role, const status::ScriptSection& seen) {
  Node tree = Node::map();
  if (role.script) add_text(tree, "name", role.script->name);
  add_flag(tree, "running", seen.running);
  if (seen.finished) tree.add("exitCode", Node::number(std::to_string(seen.exit_code)));
  if (seen.timed_out) add_flag(tree, "timedOut", true);
  add_text(tree, "outputFile", seen.output_file);
  return tree;
}

Node resources_tree(const status::Module& module) {
  Node tree = Node::map();
  for (const auto& [name, value] : module.resources) {
    Node entry = Node::map();
    add_text(entry, "value", value.value);
    add_time(entry, "since", value.assigned);
    add_text(entry, "source", value.source);
    tree.add(name, std::move(entry));
  }
  return tree;
}

Node rules_tree(const status::FailoverSection& failover) {
  Node tree = Node::map();
  for (const auto& [label, verdict] : failover.verdicts) {
    Node entry = Node::map();
    add_text(entry, "condition", verdict.condition);
    add_text(entry, "action", verdict.action);
    add_text(entry, "state", verdict.holds);
    Node because = Node::list();
    for (const std::string& one : verdict.because) because.push(Node::string(one));
    if (!because.children.empty()) entry.add("because", std::move(because));
    add_time(entry, "since", verdict.since);
    tree.add(label, std::move(entry));
  }
  return tree;
}

Node settings_tree(const status::Settings& settings) {
  Node tree = Node::map();
  add_flag(tree, "errd", settings.errd);
  add_flag(tree, "checker", settings.checker);
  add_flag(tree, "failover", settings.failover);
  if (settings.boot) add_flag(tree, "boot", *settings.boot);
  return tree;
}

Node move_tree(const status::Timeline& timeline) {
  const auto ms = [](Duration duration) { return Node::number(std::to_string(duration.count() / 1'000'000)); };
  Node tree = Node::map();
  add_text(tree, "kind", to_string(timeline.kind));
  add_time(tree, "began", timeline.began);
  tree.add("milliseconds", ms(total_of(timeline)));
  Node& phases = tree.add("phases", Node::map());
  for (std::size_t i = 0; i < status::kPhases; ++i) {
    phases.add(std::string{to_string(static_cast<status::Phase>(i))}, ms(timeline.phases[i]));
  }
  add_text(tree, "text", status::describe(timeline));
  return tree;
}

Node local_tree(const status::Module& module, const NodeName& self) {
  Node tree = Node::map();
  tree.add("name", Node::string(self.str()));
  add_flag(tree, "local", true);
  add_text(tree, "role", to_string(module.role.role));
  add_text(tree, "readiness", to_string(module.role.readiness));
  add_time(tree, "since", module.role.since);
  add_time(tree, "servingSince", module.role.serving_since);
  add_text(tree, "reason", module.role.reason);
  add_text(tree, "waitingFor", module.role.waiting_for);
  if (!module.role.evidence.empty()) {
    Node evidence = Node::list();
    for (const std::string& one : module.role.evidence) evidence.push(Node::string(one));
    tree.add("evidence", std::move(evidence));
  }
  if (module.replication.configured) {
    add_flag(tree, "upToDate", module.replication.up_to_date);
    tree.add("replication", replication_tree(module.replication, module.role.replica));
  }
  if (module.role.script) tree.add("script", script_tree(module.role, module.script));
  if (module.role.addresses_wanted || !module.addresses.all_unset || !module.addresses.problem.empty()) {
    Node addresses = Node::map();
    add_flag(addresses, "set", module.addresses.all_set);
    add_text(addresses, "problem", module.addresses.problem);
    tree.add("addresses", std::move(addresses));
  }
  add_number(tree, "loopCount", module.role.loop_count);
  if (module.last_move) tree.add("lastMove", move_tree(*module.last_move));
  tree.add("settings", settings_tree(module.settings));
  if (!module.resources.empty()) tree.add("resources", resources_tree(module));
  if (!module.failover.verdicts.empty()) tree.add("rules", rules_tree(module.failover));
  return tree;
}

Node peer_tree(const status::PeerSection& peer) {
  Node tree = Node::map();
  tree.add("name", Node::string(peer.name.str()));
  add_flag(tree, "local", false);
  add_flag(tree, "heard", peer.heard);
  if (!peer.heard) {
    tree.add("role", Node::string("UNKNOWN"));
    add_text(tree, "reason", "no heartbeat from this node");
  } else if (!peer.module_known) {
    tree.add("role", Node::string("UNKNOWN"));
    add_text(tree, "reason", "the module is not configured there yet");
  } else {
    add_text(tree, "role", to_string(peer.role));
    add_text(tree, "readiness", to_string(peer.readiness));
    if (peer.replicates) add_flag(tree, "upToDate", peer.up_to_date);
  }
  Node heartbeats = Node::map();
  for (const auto& [ident, up] : peer.heartbeats) heartbeats.add(ident, Node::string(up ? "up" : "down"));
  if (!heartbeats.children.empty()) tree.add("heartbeats", std::move(heartbeats));
  return tree;
}

}  // namespace

Node to_tree(const status::Condition& condition) {
  Node tree = Node::map();
  add_text(tree, "type", condition.type);
  tree.add("status", Node::string(condition.is_true ? "True" : "False"));
  add_text(tree, "reason", condition.reason);
  add_text(tree, "message", condition.message);
  add_time(tree, "lastTransitionTime", condition.since);
  return tree;
}

Node to_tree(const status::Event& event) {
  Node tree = Node::map();
  add_time(tree, "time", event.time);
  add_text(tree, "node", event.node.str());
  add_text(tree, "module", event.module.str());
  add_text(tree, "component", event.component);
  tree.add("level", Node::string(std::string(1, event.level)));
  tree.add("message", Node::string(event.text));
  return tree;
}

Result<status::Event> event_from(const Node& tree) {
  const auto text = [&tree](std::string_view name) {
    const Node* found = tree.find(name);
    return found != nullptr && found->is_scalar() ? found->text : std::string{};
  };
  status::Event event;
  if (const std::string time = text("time"); !time.empty()) {
    SK_TRY(event.time, parse_wall_time(time));
  }
  const std::string level = text("level");
  if (level.size() != 1) return Error{Code::Invalid, "'level' of an event must be one letter"};
  event.level = level[0];
  event.node = NodeName{text("node")};
  event.module = ModuleName{text("module")};
  event.component = text("component");
  event.text = text("message");
  return event;
}

Node status_tree(const status::Module& module, const NodeName& self) {
  Node tree = Node::map();
  add_number(tree, "observedGeneration", module.observed_generation);
  Node nodes = Node::list();
  nodes.push(local_tree(module, self));
  if (!module.peer.name.empty()) nodes.push(peer_tree(module.peer));
  tree.add("nodes", std::move(nodes));
  Node conditions = Node::list();
  for (const status::Condition& condition : module.conditions) conditions.push(to_tree(condition));
  tree.add("conditions", std::move(conditions));
  return tree;
}

}  // namespace safekit::codec
