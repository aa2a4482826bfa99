#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "reconciler/api/routes.h"
#include "reconciler/api/settings.h"
#include "reconciler/api/view.h"
#include "schema/codec/status_tree.h"
#include "schema/doc/json.h"
#include "schema/spec/defaults.h"

/// Requests about a module as it runs, and about nodes.
namespace safekit::api {
namespace {

using doc::Node;

constexpr std::size_t kEventsDefault = 300;
constexpr Duration kOperationWaitMax = seconds{60};
constexpr const char* kUpdate = "update";
constexpr std::array<std::string_view, 17> kVerbs{"start", "stop",   "stopstart", "restart",
                                                 "prim",  "second", "swap",      "forcestop", store::kUpgradeDatapath,
                                                 store::kRfsSync, store::kSyncNow,
                                                 store::kIncLoop, store::kResetLoop, store::kCheckLoop,
                                                 "primforce", "shutdown", kUpdate};

bool flag_at(const Node& tree, std::string_view name) {
  return text_at(tree, {name}) == "true";
}

std::uint64_t number_of(const std::string& text, std::uint64_t fallback) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? value : fallback;
}

std::string query_of(const Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

}  // namespace

Result<ModuleName> Routes::local_module(const std::string& name) const {
  const ModuleName module{name};
  const std::vector<ModuleName> local = store_.local_modules();
  if (std::find(local.begin(), local.end(), module) != local.end()) return module;
  if (!store_.get({store::Kind::Module, name})) {
    return Error{Code::NotFound, fmt::format("no module '{}' (safekit get modules lists them)", name)};
  }
  std::string nodes;
  if (const auto spec = store_.module(module)) {
    for (const NodeName& node : spec->nodes) nodes += (nodes.empty() ? "" : ", ") + node.str();
  }
  return Error{
      Code::NotFound,
      fmt::format("module '{}' does not run on this node '{}' but on: {}; ask there, or with -H NODE", name,
                  store_.node().str(), nodes)};
}

Response Routes::module_status(const Request&, const Parameters& at) {
  const auto module = local_module(at[0]);
  if (!module) return failure(module.error());
  Node tree = Node::map();
  tree.add("node", Node::string(store_.node().str()));
  tree.add("module", Node::string(at[0]));
  const Node status = module_status_view(store_, *module);
  for (const Node& child : status.children) tree.add(child.key, child);
  return json(200, tree);
}

Response Routes::post_operation(const Request& request, const Parameters& at) {
  const auto module = local_module(at[0]);
  if (!module) return failure(module.error());
  const auto body = object_in(request);
  if (!body) return failure(body.error());
  store::Operation operation{
      .module = at[0],
      .verb = text_at(*body, {"verb"}),
      .argument = text_at(*body, {"argument"}),
      .caller = text_at(*body, {"caller"}),
      .automatic = flag_at(*body, "automatic"),
  };
  if (std::find(kVerbs.begin(), kVerbs.end(), operation.verb) == kVerbs.end()) {
    return failure(Error{Code::Invalid, fmt::format("'{}' is not a command of a module; there are {}",
                                                    operation.verb, fmt::join(kVerbs, ", "))});
  }
  const bool takes_argument =
      operation.argument.empty() ||
      (operation.argument == "fullsync" && (operation.verb == "prim" || operation.verb == "second")) ||
      (operation.argument == "nosync" && operation.verb == "swap") || operation.verb == store::kRfsSync;
  if (!takes_argument) {
    return failure(
        Error{Code::Invalid, fmt::format("'{}' takes no '{}'", operation.verb, operation.argument)});
  }
  // Under another name only who may do everything here: a script on this node, and what speaks for a user.
  if (operation.caller.empty() || request.door == Door::Https) operation.caller = request.user;
  const auto id = store_.submit(operation);
  if (!id) return failure(id.error());
  operation = store_.operation(*id).value_or(operation);
  operation.id = *id;
  return json(201, operation_view(operation));
}

void Routes::get_operation(const Request& request, const Parameters& at, Respond respond) {
  const std::uint64_t id = number_of(at[0], 0);
  const auto operation = store_.operation(id);
  if (!operation)
    return respond(failure(Error{Code::NotFound, fmt::format("no operation '{}' is kept", at[0])}));
  const std::string wait = query_of(request, "wait");
  if (wait.empty() || !operation->outcome.empty()) return respond(json(200, operation_view(*operation)));
  const auto limit = parse_duration(wait);
  if (!limit) return respond(failure(limit.error()));
  if (waiters_.size() >= WatchHub::kStreamsMax) {
    return respond(failure(Error{Code::Exhausted, "too many requests wait already; ask without 'wait'"}));
  }
  const std::uint64_t waiter = ++last_waiter_;
  const TimerId timer = loop_.after(std::min(*limit, kOperationWaitMax), [this, waiter] {
    const auto found = waiters_.find(waiter);
    const Waiter over = std::move(found->second);
    waiters_.erase(found);
    const auto now = store_.operation(over.operation);
    over.respond(now ? json(200, operation_view(*now))
                     : failure(Error{Code::NotFound, "the operation is gone"}));
  });
  waiters_.emplace(waiter, Waiter{.operation = id, .respond = std::move(respond), .timer = timer});
}

void Routes::operations_changed() {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    const auto operation = store_.operation(it->second.operation);
    if (operation && operation->outcome.empty()) {
      ++it;
      continue;
    }
    const Waiter over = std::move(it->second);
    it = waiters_.erase(it);
    loop_.cancel(over.timer);
    over.respond(operation ? json(200, operation_view(*operation))
                           : failure(Error{Code::NotFound, "the operation is gone"}));
  }
}

Response Routes::events(const Request& request, const Parameters& at) {
  const std::string name = at.empty() ? query_of(request, "module") : at[0];
  if (!name.empty() && !store_.get({store::Kind::Module, name}) &&
      store_.events(ModuleName{name}, 1, true).empty()) {
    return failure(
        Error{Code::NotFound, fmt::format("no module '{}' (safekit get modules lists them)", name)});
  }
  const std::size_t last = number_of(query_of(request, "last"), kEventsDefault);
  Node tree = Node::map();
  tree.add("kind", Node::string("EventList"));
  Node items = Node::list();
  for (const status::Event& event :
       store_.events(ModuleName{name}, last, query_of(request, "verbose") == "true")) {
    items.push(codec::to_tree(event));
  }
  tree.add("items", std::move(items));
  if (!store_.history_problem().empty()) tree.add("problem", Node::string(store_.history_problem()));
  return json(200, tree);
}

/// A line from one of the module's scripts (`safekit printe`).
Response Routes::add_event(const Request& request, const Parameters& at) {
  constexpr std::size_t kTextMax = 2000;
  const auto module = local_module(at[0]);
  if (!module) return failure(module.error());
  const auto body = object_in(request);
  if (!body) return failure(body.error());
  const std::string level = text_at(*body, {"level"});
  if (level != "E" && level != "W" && level != "I")
    return failure(Error{Code::Invalid, "'level' must be E, W or I"});
  std::string text = text_at(*body, {"message"});
  if (text.empty() || text.size() > kTextMax) {
    return failure(Error{Code::Invalid, fmt::format("a message has 1 to {} characters", kTextMax)});
  }
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');  // a log has lines
  store_.record(*module, "userplug", level[0], std::move(text));
  return json(201, *body);
}

Response Routes::set_resource(const Request& request, const Parameters& at) {
  const auto module = local_module(at[0]);
  if (!module) return failure(module.error());
  const auto body = object_in(request);
  if (!body) return failure(body.error());
  const std::string& name = at[1];
  const std::string value = text_at(*body, {"value"});
  if (!name.starts_with("custom.") || name.size() == std::string_view{"custom."}.size()) {
    return failure(Error{
        Code::Denied, fmt::format("'{}' is set by safekit itself; commands may set 'custom.<name>', and `safekit set -r rfs.syncat -v up` "
                                  "synchronises a secondary that waits for its date", name)});
  }
  if (value.empty() || value.size() > 255)
    return failure(Error{Code::Invalid, "a value has 1 to 255 characters"});
  std::string identity = text_at(*body, {"identity"});
  if (identity.empty()) identity = request.user;
  bool changed = false;
  store_.update_status(*module, [&](status::Module& status) {
    status::ResourceValue& resource = status.resources[name];
    changed = resource.value != value;
    resource = {.value = value, .assigned = clock_.wall_now(), .source = identity};
  });
  const bool is_logged = (changed && !flag_at(*body, "quiet")) || flag_at(*body, "log");
  if (is_logged) {
    store_.record(*module, identity, 'I', fmt::format("Resource {} set to {} by {}", name, value, identity));
  }
  return json(200, *body);
}

/// A running module is told of a changed switch by its script `update`, where its state allows one.
void Routes::update_scripts(const ModuleName& module, const std::string& caller) {
  using status::Role;
  const status::RoleSection& section = store_.status(module).role;
  const bool ready = section.readiness == status::Readiness::Ready && (section.role == Role::Alone || section.role == Role::Up);
  const bool waits = section.role == Role::Wait && section.readiness == status::Readiness::NotReady;
  if (!ready && !waits) return;
  store::Operation update;
  update.module = module.str();
  update.verb = kUpdate;
  update.caller = caller;
  (void)store_.submit(update);  // the switch itself has been changed
}

Response Routes::change_settings(const Request& request, const Parameters& at) {
  const auto module = local_module(at[0]);
  if (!module) return failure(module.error());
  const auto body = object_in(request);
  if (!body) return failure(body.error());
  for (const Node& setting : body->children) {
    if (setting.kind != doc::Kind::Bool) {
      return failure(Error{Code::Invalid, fmt::format("'{}' must be true or false", setting.key)});
    }
    const bool on = setting.text == "true";
    const Status status = change_setting(store_, *module, setting.key, on);
    if (!status) return failure(status.error());
    store_.record(*module, "safekit", 'U',
                  fmt::format("Action {} {} called by {}", setting.key, on ? "on" : "off", request.user));
    if (setting.key != "boot") update_scripts(*module, request.user);
  }
  return module_status(request, at);
}

Node Routes::nodes_view() const {
  Node tree = Node::map();
  tree.add("apiVersion", Node::string("safekit/v1"));
  tree.add("kind", Node::string("NodeList"));
  Node items = Node::list();
  const auto cluster = store_.cluster();
  const std::vector<NodeLink> links = callbacks_.links ? callbacks_.links() : std::vector<NodeLink>{};
  std::vector<NodeName> names = cluster ? spec::nodes_of(*cluster) : std::vector<NodeName>{};
  if (std::find(names.begin(), names.end(), store_.node()) == names.end()) names.push_back(store_.node());
  for (const NodeName& name : names) {
    Node item = Node::map();
    item.add("name", Node::string(name.str()));
    const bool is_self = name == store_.node();
    item.add("local", Node::boolean(is_self));
    const auto link =
        std::find_if(links.begin(), links.end(), [&name](const NodeLink& l) { return l.name == name; });
    item.add("reachable", Node::boolean(is_self || (link != links.end() && link->reachable)));
    if (link != links.end() && !link->problem.empty()) item.add("problem", Node::string(link->problem));
    Node addresses = Node::map();
    for (const spec::Lan& lan : cluster ? cluster->lans : std::vector<spec::Lan>{}) {
      const spec::NodeAddress* address = spec::find_node(lan, name);
      if (address == nullptr) continue;
      Node entry = Node::map();
      entry.add("address", Node::string(address->address));
      if (link != links.end() && link->lans.contains(lan.name.str())) {
        entry.add("state", Node::string(link->lans.at(lan.name.str()) ? "up" : "down"));
      }
      addresses.add(lan.name.str(), std::move(entry));
    }
    item.add("lans", std::move(addresses));
    if (link != links.end() && !link->version.empty()) item.add("version", Node::string(link->version));
    items.push(std::move(item));
  }
  tree.add("items", std::move(items));
  return tree;
}

Response Routes::nodes(const Request&, const Parameters&) {
  return json(200, nodes_view());
}

Response Routes::metrics(const Request&, const Parameters&) {
  std::string out = callbacks_.metrics ? callbacks_.metrics() : std::string{};
  out += "# TYPE safekit_module_role gauge\n";
  for (const ModuleName& name : store_.local_modules()) {
    const status::Module& module = store_.status(name);
    out += fmt::format("safekit_module_role{{module=\"{}\",role=\"{}\",readiness=\"{}\"}} 1\n", name.str(),
                       to_string(module.role.role), to_string(module.role.readiness));
    out += fmt::format("safekit_module_ready{{module=\"{}\"}} {}\n", name.str(), is_ready(module) ? 1 : 0);
    if (module.replication.configured) {
      out += fmt::format("safekit_module_up_to_date{{module=\"{}\"}} {}\n", name.str(),
                         module.replication.up_to_date ? 1 : 0);
      out += fmt::format("safekit_module_resync_copied_bytes{{module=\"{}\"}} {}\n", name.str(),
                         module.replication.bytes_copied);
    }
  }
  out += fmt::format("safekit_store_revision {}\n", store_.revision().value);
  out += fmt::format("safekit_store_conflicts {}\n", store_.conflicts().size());
  return text(200, std::move(out));
}

void Routes::add_cluster_routes() {
  const auto answer = [](const Respond& respond) {
    return [respond](const Result<Node>& result) {
      respond(result ? json(200, *result) : failure(result.error()));
    };
  };
  const auto with_actions = [this](const Respond& respond) {
    if (callbacks_.cluster == nullptr)
      respond(failure(Error{Code::Unsupported, "this daemon has no cluster actions"}));
    return callbacks_.cluster != nullptr;
  };
  add(Method::Post, "cluster/token",
      [this, answer, with_actions](const Request&, const Parameters&, const Respond& respond) {
        if (with_actions(respond)) callbacks_.cluster->token(answer(respond));
      });
  const auto add_with_body = [this, answer, with_actions](std::string path, auto call) {
    add(Method::Post, std::move(path),
        [answer, with_actions, call](const Request& request, const Parameters&, const Respond& respond) {
          if (!with_actions(respond)) return;
          const auto body = object_in(request);
          if (!body) return respond(failure(body.error()));
          call(*body, answer(respond));
        });
  };
  add_with_body("cluster/init", [this](const Node& body, ClusterActions::Done done) {
    callbacks_.cluster->init(text_at(body, {"node"}), std::move(done));
  });
  add_with_body("cluster/join", [this](const Node& body, ClusterActions::Done done) {
    callbacks_.cluster->join(text_at(body, {"token"}), text_at(body, {"node"}), std::move(done));
  });
  add(Method::Post, "cluster/admit",
      [this, with_actions](const Request& request, const Parameters&, const Respond& respond) {
        if (!with_actions(respond)) return;
        callbacks_.cluster->admit(request.body, [respond](const Result<std::string>& reply) {
          // The joining node shows the text of a refusal to its user.
          respond(reply ? Response{.content_type = "application/octet-stream", .body = *reply}
                        : text(failure(reply.error()).status, reply.error().what));
        });
      });
}

}  // namespace safekit::api
