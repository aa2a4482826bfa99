#include "reconciler/api/view.h"

#include <algorithm>

#include <fmt/format.h>

#include "reconciler/api/request.h"
#include "schema/codec/status_tree.h"
#include "schema/doc/json.h"

namespace safekit::api {
namespace {

using doc::Node;

void set(Node& map, const std::string& name, Node value) {
  map.erase(name);
  map.add(name, std::move(value));
}

void add_conflicts(const store::Store& store, const store::ObjectKey& key, Node& conditions) {
  for (const store::Conflict& conflict : store.conflicts(key)) {
    const store::Object& theirs = conflict.theirs;
    conditions.push(codec::to_tree(status::Condition{
        .type = "ConfigConflict",
        .is_true = true,
        .reason = "EditedOnBothSides",
        .message = fmt::format(
            "'{}' has another revision, applied by '{}' on '{}' at {}; each node goes on with its own. "
            "Choose one: safekit apply --take NODE {}/{}, or apply a new one",
            conflict.peer.str(), theirs.author, theirs.origin.str(), to_string(theirs.time),
            singular(key.kind), key.name),
        .since = theirs.time,
    }));
  }
}

}  // namespace

std::string_view plural(store::Kind kind) {
  return kind == store::Kind::Module ? "modules" : "clusters";
}
std::string_view singular(store::Kind kind) {
  return kind == store::Kind::Module ? "module" : "cluster";
}

Node module_status_view(const store::Store& store, const ModuleName& name) {
  Node tree = codec::status_tree(store.status(name), store.node());
  Node* conditions = tree.find("conditions");
  const auto is_conflict = [](const Node& condition) {
    return text_at(condition, {"type"}) == "ConfigConflict";
  };
  const bool is_told = std::any_of(conditions->children.begin(), conditions->children.end(), is_conflict);
  if (!is_told) add_conflicts(store, {store::Kind::Module, name.str()}, *conditions);
  return tree;
}

Node object_view(const store::Store& store, const store::Object& object) {
  doc::Problems problems{object.key.name};
  std::vector<Node> parsed = doc::parse_json(object.spec, problems);
  Node view = parsed.size() == 1 ? std::move(parsed[0]) : Node::map();
  Node* metadata = view.find("metadata");
  if (metadata == nullptr) metadata = &view.add("metadata", Node::map());
  if (metadata->find("name") == nullptr) metadata->add("name", Node::string(object.key.name));
  set(*metadata, "generation", Node::number(std::to_string(object.generation)));
  set(*metadata, "resourceVersion", Node::string(std::to_string(store::version_of(object))));
  Node status = Node::map();
  const std::vector<ModuleName> local = store.local_modules();
  const bool is_local = std::find(local.begin(), local.end(), ModuleName{object.key.name}) != local.end();
  if (object.key.kind == store::Kind::Module && is_local) {
    status = module_status_view(store, ModuleName{object.key.name});
  } else {
    Node conditions = Node::list();
    add_conflicts(store, object.key, conditions);
    status.add("conditions", std::move(conditions));
  }
  Node& applied = status.add("applied", Node::map());
  applied.add("by", Node::string(object.author));
  applied.add("on", Node::string(object.origin.str()));
  applied.add("at", Node::string(to_string(object.time)));
  set(view, "status", std::move(status));
  return view;
}

Node list_view(const store::Store& store, store::Kind kind) {
  Node tree = Node::map();
  tree.add("apiVersion", Node::string("safekit/v1"));
  tree.add("kind", Node::string(kind == store::Kind::Module ? "ModuleList" : "ClusterList"));
  tree.add("metadata", Node::map())
      .add("resourceVersion", Node::string(std::to_string(store.revision().value)));
  Node items = Node::list();
  for (const store::Object& object : store.list(kind)) items.push(object_view(store, object));
  tree.add("items", std::move(items));
  return tree;
}

Node operation_view(const store::Operation& operation) {
  Node tree = Node::map();
  tree.add("id", Node::number(std::to_string(operation.id)));
  tree.add("module", Node::string(operation.module));
  tree.add("verb", Node::string(operation.verb));
  if (!operation.argument.empty()) tree.add("argument", Node::string(operation.argument));
  tree.add("caller", Node::string(operation.caller));
  tree.add("automatic", Node::boolean(operation.automatic));
  tree.add("time", Node::string(to_string(operation.time)));
  tree.add("outcome", Node::string(operation.outcome));
  return tree;
}

bool is_ready(const status::Module& module) {
  return status::is_serving(module.role.role) && module.role.readiness == status::Readiness::Ready;
}

}  // namespace safekit::api
