#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "reconciler/api/routes.h"
#include "reconciler/api/settings.h"
#include "reconciler/api/source.h"
#include "reconciler/api/view.h"
#include "schema/check/change_effect.h"
#include "schema/check/diff.h"
#include "schema/check/unhonoured.h"
#include "schema/codec/encode.h"
#include "schema/doc/json.h"
#include "schema/spec/defaults.h"

/// Requests about desired state.
namespace safekit::api {
namespace {

using doc::Node;
using store::ObjectKey;

const ObjectKey kCluster{store::Kind::Cluster, "cluster"};

/// One checked object, ready to be stored.
struct Wish {
  ObjectKey key{};
  std::string name{};  ///< as people call it
  std::string spec{};
  std::uint64_t expected{0};  ///< resourceVersion that the file carries
  std::vector<check::FieldChange> changes{};
  bool is_new{false};
  std::vector<std::string> runs_on{};  ///< a module: `node1 (PRIM)`, as far as it is known here
};

std::string query_of(const Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

store::ApplyOptions options_of(const Request& request, std::uint64_t expected) {
  const std::string version = query_of(request, "resourceVersion");
  std::from_chars(version.data(), version.data() + version.size(), expected);
  store::ApplyOptions options{.author = request.user, .dry_run = query_of(request, "dryRun") == "All"};
  if (expected != 0) options.expected = expected;
  return options;
}

std::uint32_t free_id(const store::Store& store) {
  std::set<std::uint32_t> used;
  for (const store::Object& object : store.list(store::Kind::Module)) {
    if (const auto module = store.module(ModuleName{object.key.name})) used.insert(module->id);
  }
  std::uint32_t id = 1;
  while (used.contains(id)) ++id;
  return id;
}

/// Nobody knows the names of other nodes yet; only this one is there for certain.
void judge_without_cluster(const NodeName& here, const spec::Module& module, const codec::Positions& positions,
                           doc::Problems& found) {
  constexpr std::string_view kFix = "make or join one first: safekit cluster init, safekit cluster join";
  const doc::Position at = positions.find("spec.nodes");
  if (!store::names(module, here)) {
    found.error(at, "no-cluster",
                fmt::format("this node is '{}' and belongs to no cluster: no node named here is known", here.str()),
                std::string{kFix});
  } else if (module.nodes.size() > 1) {
    found.warning(at, "no-cluster",
                  fmt::format("node '{}' belongs to no cluster: the other nodes do not get this module", here.str()),
                  std::string{kFix});
  }
}

/// What a module points to in a cluster and does not find there.
std::set<std::string> missing_of(const spec::Module& module, const spec::Cluster& cluster) {
  static const std::set<std::string, std::less<>> kRules{"node-unknown", "network-unknown", "node-not-on-network"};
  doc::Problems found;
  check::validate(module, {.cluster = &cluster}, {}, found);
  std::set<std::string> missing;
  for (const doc::Problem& problem : found.list()) {
    if (kRules.contains(problem.rule)) missing.insert(problem.message);
  }
  return missing;
}

/// A change of the cluster takes nothing away that a module uses (spec/config.md 1.8): all modules are named at once.
void judge_modules_left(const std::vector<std::shared_ptr<const spec::Module>>& kept, const spec::Cluster& before,
                        const check::LoadResult& loaded, doc::Problems& found) {
  const auto is_cluster = [](const codec::Decoded& one) { return std::holds_alternative<spec::Cluster>(one.object); };
  const auto after = std::find_if(loaded.objects.begin(), loaded.objects.end(), is_cluster);
  if (after == loaded.objects.end()) return;
  const auto changed = loaded.modules();
  for (const auto& module : kept) {
    const std::string& name = module->metadata.name;
    // What the file itself says of a module is judged there.
    if (std::any_of(changed.begin(), changed.end(), [&](const auto* one) { return one->metadata.name == name; })) continue;
    const auto missed = missing_of(*module, before);
    for (const std::string& message : missing_of(*module, *loaded.cluster())) {
      if (missed.contains(message)) continue;
      found.error(after->positions.find("spec.lans"), "module-needs-it", fmt::format("module {} needs it: {}", name, message),
                  "change the module first, or in the same file (---), or delete it");
    }
  }
}

/// Reads and judges a source against what is in force here.
check::LoadResult load(const store::Store& store, const Source& source, std::vector<doc::Problem>& problems) {
  const auto cluster = store.cluster();
  std::vector<std::shared_ptr<const spec::Module>> kept;
  check::LoadOptions options{.format = source.format,
                             .environment = source.environment,
                             .cluster = cluster.get(),
                             .module_name = source.name,
                             .module_nodes = source.nodes};
  for (const store::Object& object : store.list(store::Kind::Module)) {
    if (auto module = store.module(ModuleName{object.key.name})) kept.push_back(std::move(module));
  }
  for (const auto& module : kept) options.others.push_back(module.get());
  if (options.module_nodes.empty() && cluster) options.module_nodes = spec::nodes_of(*cluster);
  const auto known = source.name.empty() ? nullptr : store.module(ModuleName{source.name});
  options.module_id = known ? known->id : free_id(store);
  check::LoadResult loaded = check::load(source.text, source.file, options);
  doc::Problems found{source.file};
  if (cluster) judge_modules_left(kept, *cluster, loaded, found);
  for (codec::Decoded& decoded : loaded.objects) {
    auto* module = std::get_if<spec::Module>(&decoded.object);
    if (module == nullptr) continue;
    take_scripts(source, *module, decoded.positions, found);
    if (!cluster && loaded.cluster() == nullptr) judge_without_cluster(store.node(), *module, decoded.positions, found);
    for (const check::Unhonoured& setting : check::unhonoured(*module)) {
      found.warning(decoded.positions.find(setting.path), "not-honoured",
                    fmt::format("'{}' has no effect in this version: {}", setting.path, setting.reason));
    }
  }
  if (loaded.objects.empty() && !loaded.has_errors())
    found.error({}, "empty", "there is no object in it", "a file has apiVersion, kind, metadata, spec");
  problems = loaded.problems;
  problems.insert(problems.end(), found.list().begin(), found.list().end());
  return loaded;
}

std::vector<std::string> runs_on(const store::Store& store, const ModuleName& name) {
  const status::Module& status = store.status(name);
  std::vector<std::string> nodes;
  const auto add = [&nodes](const NodeName& node, status::Role role) {
    if (role != status::Role::Stop) nodes.push_back(fmt::format("{} ({})", node.str(), status::to_string(role)));
  };
  add(store.node(), status.role.role);
  if (status.peer.heard && status.peer.module_known) add(status.peer.name, status.peer.role);
  return nodes;
}

/// A module that runs takes what its controllers bring about while it runs, and nothing else (spec/config.md 5).
void judge_change(const store::Store& store, const Wish& wish, const codec::Decoded& decoded, doc::Problems& found) {
  const auto blocked = check::needing_stop(wish.changes);
  if (wish.is_new || wish.key.kind != store::Kind::Module || blocked.empty()) return;
  const auto before = store.module(ModuleName{wish.name});
  const bool is_here = store::names(*before, store.node());
  if (is_here && wish.runs_on.empty()) return;
  std::string nodes;
  for (const NodeName& node : before->nodes) nodes += (nodes.empty() ? "" : ", ") + node.str();
  for (const check::FieldChange& change : blocked) {
    if (is_here) {
      found.error(decoded.positions.find(change.path), "needs-stop",
                  fmt::format("'{}' cannot be changed while the module runs on {}", change.path, fmt::join(wish.runs_on, ", ")),
                  fmt::format("stop it on each node first (safekit stop -m {}), or apply with --force: it is in force then when the "
                              "module is next started",
                              wish.name));
    } else {
      found.error(decoded.positions.find(change.path), "needs-stop",
                  fmt::format("'{}' can only be changed while the module is stopped, which is not known here", change.path),
                  fmt::format("apply it on a node of the module: {}", nodes));
    }
  }
}

Wish wish_of(const store::Store& store, const codec::Decoded& decoded) {
  Wish wish;
  if (const auto* cluster = std::get_if<spec::Cluster>(&decoded.object)) {
    wish.key = kCluster;
    wish.name = cluster->metadata.name;
    wish.spec = codec::canonical_json(*cluster);
    wish.expected = cluster->metadata.resource_version;
    const auto before = store.cluster();
    wish.is_new = before == nullptr;
    if (before) wish.changes = check::diff(*before, *cluster);
    return wish;
  }
  const auto& module = std::get<spec::Module>(decoded.object);
  wish.key = {store::Kind::Module, module.metadata.name};
  wish.name = module.metadata.name;
  wish.spec = codec::canonical_json(module);
  wish.expected = module.metadata.resource_version;
  const auto before = store.module(ModuleName{module.metadata.name});
  wish.is_new = before == nullptr;
  if (before) wish.changes = check::diff(*before, module);
  wish.runs_on = runs_on(store, ModuleName{module.metadata.name});
  return wish;
}

Node to_tree(const check::FieldChange& change) {
  Node tree = Node::map();
  tree.add("path", Node::string(change.path));
  tree.add("before", Node::string(change.before));
  tree.add("after", Node::string(change.after));
  return tree;
}

Node result_tree(const Wish& wish, const store::Object& stored, bool is_changed) {
  Node tree = Node::map();
  tree.add("kind", Node::string(wish.key.kind == store::Kind::Module ? "Module" : "Cluster"));
  tree.add("name", Node::string(wish.name));
  tree.add("result", Node::string(wish.is_new ? "created" : is_changed ? "configured" : "unchanged"));
  tree.add("generation", Node::number(std::to_string(stored.generation)));
  tree.add("resourceVersion", Node::string(std::to_string(store::version_of(stored))));
  Node changes = Node::list();
  for (const check::FieldChange& change : wish.changes) {
    Node one = to_tree(change);
    if (wish.key.kind == store::Kind::Module) one.add("effect", Node::string(std::string{to_string(check::effect_of(change.path))}));
    changes.push(std::move(one));
  }
  tree.add("changes", std::move(changes));
  Node nodes = Node::list();
  for (const std::string& node : wish.runs_on) nodes.push(Node::string(node));
  tree.add("runsOn", std::move(nodes));
  return tree;
}

/// RFC 7386: null removes, a map goes into a map, everything else replaces.
void merge(Node& target, const Node& patch) {
  if (patch.kind != doc::Kind::Map) {
    std::string key = target.key;
    target = patch;
    target.key = std::move(key);
    return;
  }
  if (target.kind != doc::Kind::Map) {
    std::string key = target.key;
    target = Node::map();
    target.key = std::move(key);
  }
  for (const Node& child : patch.children) {
    if (child.kind == doc::Kind::Null) {
      target.erase(child.key);
      continue;
    }
    Node* existing = target.find(child.key);
    merge(existing != nullptr ? *existing : target.add(child.key, Node::map()), child);
  }
}

Error not_found(const ObjectKey& key) {
  if (key.kind == store::Kind::Cluster)
    return Error{Code::NotFound, "this node has no cluster configuration yet (safekit cluster init)"};
  return Error{Code::NotFound, fmt::format("no module '{}' (safekit get modules lists them)", key.name)};
}

Node deleted_tree(const ObjectKey& key, const store::Object& removed) {
  Node tree = Node::map();
  tree.add("kind", Node::string(key.kind == store::Kind::Module ? "Module" : "Cluster"));
  tree.add("name", Node::string(key.name));
  tree.add("result", Node::string("deleted"));
  tree.add("resourceVersion", Node::string(std::to_string(store::version_of(removed))));
  return tree;
}

/// A node belongs to one cluster; whatever a person calls it, it is stored under one key.
ObjectKey stored_key(const ObjectKey& key) {
  return key.kind == store::Kind::Cluster ? kCluster : key;
}

}  // namespace

Response Routes::list(store::Kind kind) {
  return json(200, list_view(store_, kind));
}

Response Routes::one(store::Kind kind, const std::string& name) {
  const ObjectKey key = stored_key({kind, name});
  const auto object = store_.get(key);
  return object ? json(200, object_view(store_, *object)) : failure(not_found(key));
}

Response Routes::apply(const Request& request, std::optional<ObjectKey> only) {
  auto source = source_of(request);
  if (!source) return failure(source.error());
  if (only && only->kind == store::Kind::Module && source->name.empty()) source->name = only->name;
  std::vector<doc::Problem> problems;
  const check::LoadResult loaded = load(store_, *source, problems);
  const auto is_error = [](const doc::Problem& problem) { return problem.severity == doc::Severity::Error; };
  if (const auto errors = std::count_if(problems.begin(), problems.end(), is_error); errors > 0) {
    return failure(Error{Code::Invalid, errors == 1 ? doc::to_string(*std::find_if(problems.begin(),
                                                                                   problems.end(), is_error))
                                                    : fmt::format("{} errors; nothing was applied", errors)},
                   problems);
  }
  std::vector<Wish> wishes;
  for (const codec::Decoded& decoded : loaded.objects) wishes.push_back(wish_of(store_, decoded));
  if (only && (wishes.size() != 1 || wishes[0].key != stored_key(*only))) {
    return failure(Error{Code::Invalid, fmt::format("the text must hold {} '{}' and nothing else",
                                                    singular(only->kind), only->name)});
  }
  const bool is_dry = query_of(request, "dryRun") == "All";
  if (query_of(request, "force") != "true") {
    doc::Problems blocked{source->file};
    for (std::size_t i = 0; i < wishes.size(); ++i) judge_change(store_, wishes[i], loaded.objects[i], blocked);
    if (blocked.has_errors() && !is_dry) {
      return failure(Error{Code::Conflict, "a change needs a module stopped; nothing was applied"}, blocked.list());
    }
    for (doc::Problem problem : blocked.list()) {
      problem.severity = doc::Severity::Warning;  // a plan says it of what would be refused
      problems.push_back(std::move(problem));
    }
  }
  // First all as a dry run: either every object of a file is applied or none.
  for (const Wish& wish : wishes) {
    store::ApplyOptions options = options_of(request, wish.expected);
    options.dry_run = true;
    if (const auto tried = store_.apply(wish.key, wish.spec, options); !tried) return failure(tried.error());
  }
  Node results = Node::list();
  bool any_new = false;
  for (const Wish& wish : wishes) {
    const store::ApplyOptions options = options_of(request, wish.expected);
    const auto before = store_.get(wish.key);
    const auto stored = store_.apply(wish.key, wish.spec, options);
    if (!stored) return failure(stored.error());
    const bool is_changed = !before || before->digest != stored->digest;
    any_new = any_new || wish.is_new;
    results.push(result_tree(wish, *stored, is_changed));
    const auto local = store_.local_modules();
    const ModuleName name{wish.key.name};
    if (options.dry_run || !is_changed || std::find(local.begin(), local.end(), name) == local.end())
      continue;
    if (const Status reset = reset_settings(store_, name); !reset) return failure(reset.error());
    store_.record(name, "safekit", 'U',
                  fmt::format("Action {} called by {}", wish.is_new ? "create" : "config", request.user));
  }
  Node tree = Node::map();
  tree.add("kind", Node::string("ApplyResult"));
  tree.add("dryRun", Node::boolean(is_dry));
  tree.add("results", std::move(results));
  Node warnings = Node::list();
  for (const doc::Problem& problem : problems) warnings.push(api::to_tree(problem));
  tree.add("warnings", std::move(warnings));
  return json(any_new ? 201 : 200, tree);
}

Response Routes::patch(const Request& request, const ObjectKey& key) {
  const auto object = store_.get(stored_key(key));
  if (!object) return failure(not_found(key));
  doc::Problems problems{"request"};
  const std::vector<Node> changes = doc::parse_json(request.body, problems);
  std::vector<Node> current = doc::parse_json(object->spec, problems);
  if (changes.size() != 1 || current.size() != 1 || changes[0].kind != doc::Kind::Map) {
    return failure(Error{Code::Invalid, "the body of a patch must be one JSON object (RFC 7386)"});
  }
  merge(current[0], changes[0]);
  Request whole = request;
  whole.content_type = "application/json";
  whole.body = doc::print_json(current[0], doc::JsonForm::Compact);
  // Between the read and this write nobody else can write: both happen in one turn of the loop.
  return apply(whole, key);
}

/// Whether a module runs is known on its own nodes only.
void Routes::remove(const Request& request, const ObjectKey& key, const Respond& respond) {
  const auto module = key.kind == store::Kind::Module ? store_.module(ModuleName{key.name}) : nullptr;
  if (module == nullptr || store::names(*module, store_.node()) || query_of(request, "force") == "true") {
    return respond(remove_here(request, key));
  }
  for (const NodeLink& link : callbacks_.links ? callbacks_.links() : std::vector<NodeLink>{}) {
    if (link.reachable && store::names(*module, link.name)) return forward(link.name, request, respond);
  }
  std::string nodes;
  for (const NodeName& node : module->nodes) nodes += (nodes.empty() ? "" : ", ") + node.str();
  respond(failure(Error{Code::Unavailable,
                        fmt::format("no node of module '{}' ({}) can be asked whether it runs; start one of them, or "
                                    "add --force to delete it all the same",
                                    key.name, nodes)}));
}

Response Routes::remove_here(const Request& request, const ObjectKey& key) {
  const ObjectKey stored = stored_key(key);
  if (!store_.get(stored)) return failure(not_found(key));
  if (key.kind == store::Kind::Module && query_of(request, "force") != "true") {
    if (const auto nodes = runs_on(store_, ModuleName{key.name}); !nodes.empty()) {
      return failure(Error{Code::Conflict, fmt::format("module '{}' is started on {}; stop it first (safekit stop -m {}), or "
                                                       "add --force to stop and delete it",
                                                       key.name, fmt::join(nodes, ", "), key.name)});
    }
  }
  if (key.kind == store::Kind::Cluster && !store_.list(store::Kind::Module).empty()) {
    return failure(Error{Code::Conflict, "modules use the cluster's nodes and networks; delete them first"});
  }
  const auto removed = store_.remove(stored, options_of(request, 0));
  return removed ? json(200, deleted_tree(key, *removed)) : failure(removed.error());
}

Response Routes::take(const Request& request, const ObjectKey& key) {
  const std::string from = query_of(request, "from");
  if (from.empty()) return failure(Error{Code::Invalid, "say whose revision: ?from=NODE"});
  const auto taken = store_.take(stored_key(key), NodeName{from}, options_of(request, 0));
  return taken ? json(200, object_view(store_, *taken)) : failure(taken.error());
}

}  // namespace safekit::api
