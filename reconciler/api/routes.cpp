#include "reconciler/api/routes.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "reconciler/api/settings.h"
#include "reconciler/api/view.h"
#include "schema/spec/defaults.h"

namespace safekit::api {
namespace {

constexpr std::string_view kReadyPrefix = "/var/modules/";
constexpr std::string_view kReadySuffix = "/ready.txt";

std::vector<std::string> segments_of(std::string_view path) {
  std::vector<std::string> segments;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) segments.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return segments;
}

std::optional<Routes::Parameters> match(const std::vector<std::string>& pattern,
                                        const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return std::nullopt;
  Routes::Parameters parameters;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (pattern[i] == "*") {
      parameters.push_back(path[i]);
    } else if (pattern[i] != path[i]) {
      return std::nullopt;
    }
  }
  return parameters;
}

std::string query_of(const Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

}  // namespace

Routes::Routes(store::Store& store, Loop& loop, const Clock& clock, Callbacks callbacks)
    : store_(store),
      loop_(loop),
      clock_(clock),
      callbacks_(std::move(callbacks)),
      hub_(
          store, loop,
          [this](const store::ObjectKey& key) -> std::optional<doc::Node> {
            const auto object = store_.get(key);
            if (!object) return std::nullopt;
            return object_view(store_, *object);
          },
          [this] { return nodes_view(); }) {
  add_object_routes();
  add_module_routes();
  add_cluster_routes();
  restore_settings(store_);
  store_watch_ = store_.watch([this](const store::Change& change) {
    if (change.what == store::Change::What::Operation) operations_changed();
  });
}

Routes::~Routes() {
  store_.unwatch(store_watch_);
  for (auto& [id, waiter] : waiters_) {
    loop_.cancel(waiter.timer);
    waiter.respond(failure(Error{Code::Unavailable, "safekitd is stopping"}));
  }
}

void Routes::add(Method method, std::string pattern, Handler handler) {
  routes_.push_back(Route{.method = method, .pattern = segments_of(pattern), .handler = std::move(handler)});
}

void Routes::add_plain(Method method, std::string pattern, Plain handler) {
  add(method, std::move(pattern),
      [this, handler](const Request& request, const Parameters& at, const Respond& respond) {
        respond((this->*handler)(request, at));
      });
}

void Routes::add_object_routes() {
  for (const store::Kind kind : {store::Kind::Module, store::Kind::Cluster}) {
    const std::string all{plural(kind)};
    const std::string each = all + "/*";
    add(Method::Get, all,
        [this, kind](const Request&, const Parameters&, const Respond& respond) { respond(list(kind)); });
    add(Method::Get, each, [this, kind](const Request&, const Parameters& at, const Respond& respond) {
      respond(one(kind, at[0]));
    });
    add(Method::Post, all, [this](const Request& request, const Parameters&, const Respond& respond) {
      respond(apply(request, std::nullopt));
    });
    add(Method::Put, each,
        [this, kind](const Request& request, const Parameters& at, const Respond& respond) {
          respond(apply(request, store::ObjectKey{kind, at[0]}));
        });
    add(Method::Patch, each,
        [this, kind](const Request& request, const Parameters& at, const Respond& respond) {
          respond(patch(request, {kind, at[0]}));
        });
    add(Method::Delete, each,
        [this, kind](const Request& request, const Parameters& at, const Respond& respond) {
          remove(request, {kind, at[0]}, respond);
        });
    add(Method::Post, each + "/take",
        [this, kind](const Request& request, const Parameters& at, const Respond& respond) {
          respond(take(request, {kind, at[0]}));
        });
  }
  add(Method::Post, "apply", [this](const Request& request, const Parameters&, const Respond& respond) {
    respond(apply(request, std::nullopt));
  });
}

void Routes::add_module_routes() {
  add_plain(Method::Get, "modules/*/status", &Routes::module_status);
  add_plain(Method::Post, "modules/*/operations", &Routes::post_operation);
  add_plain(Method::Get, "modules/*/events", &Routes::events);
  add_plain(Method::Post, "modules/*/events", &Routes::add_event);
  add_plain(Method::Get, "events", &Routes::events);
  add_plain(Method::Post, "modules/*/resources/*", &Routes::set_resource);
  add_plain(Method::Post, "modules/*/settings", &Routes::change_settings);
  add_plain(Method::Get, "nodes", &Routes::nodes);
  add_plain(Method::Get, "metrics", &Routes::metrics);
  add(Method::Get, "operations/*", [this](const Request& request, const Parameters& at, Respond respond) {
    get_operation(request, at, std::move(respond));
  });
}

void Routes::handle(const Request& request, Respond respond) {
  if (!request.path.starts_with(std::string{kRoot} + "/")) return respond(open_page(request));
  const std::vector<std::string> path = segments_of(std::string_view{request.path}.substr(kRoot.size()));
  // What a node that is about to join asks, before it has any log-in: who the authority is, and to be let in
  // by a secret.
  const bool is_admission =
      (path == std::vector<std::string>{"cluster", "admit"} && request.method == Method::Post) ||
      (path == std::vector<std::string>{"cluster", "authority"} && request.method == Method::Get);
  if (request.door == Door::Probe)
    return respond(failure(Error{Code::NotFound, "this port answers health probes only"}));
  if (request.user.empty() && !is_admission) {
    return respond(
        failure(Error{Code::Denied, "log in first: this needs a token (safekit --token-file FILE)"}));
  }
  const std::string node = query_of(request, "node");
  if (!node.empty() && node != store_.node().str())
    return forward(NodeName{node}, request, std::move(respond));
  bool path_is_known = false;
  for (const Route& route : routes_) {
    const auto parameters = match(route.pattern, path);
    if (!parameters) continue;
    if (route.method == request.method) return route.handler(request, *parameters, std::move(respond));
    path_is_known = true;
  }
  Response response = failure(
      Error{Code::NotFound, fmt::format("there is no {} of '{}'", to_string(request.method), request.path)});
  if (path_is_known) response.status = 405;
  respond(std::move(response));
}

void Routes::forward(const NodeName& node, const Request& request, Respond respond) {
  if (request.door == Door::Peer) {
    return respond(failure(
        Error{Code::Conflict, fmt::format("this node is '{}', not '{}'", store_.node().str(), node.str())}));
  }
  const auto cluster = store_.cluster();
  const std::vector<NodeName> names = cluster ? spec::nodes_of(*cluster) : std::vector<NodeName>{};
  if (std::find(names.begin(), names.end(), node) == names.end()) {
    std::string known;
    for (const NodeName& name : names) known += (known.empty() ? "" : ", ") + name.str();
    return respond(failure(
        Error{Code::NotFound, fmt::format("no node '{}' in the cluster; its nodes are: {}", node.str(),
                                          known.empty() ? "none (safekit cluster init)" : known)}));
  }
  if (!callbacks_.forward)
    return respond(failure(Error{Code::Unavailable, "this node has no link to others"}));
  // The other node adds our name, which it has proof of, to who asks.
  Request passed = request;
  passed.query.erase("node");
  callbacks_.forward(node, passed, std::move(respond));
}

/// What anybody may ask, also a load balancer.
Response Routes::open_page(const Request& request) {
  const std::string_view path = request.path;
  if (request.method != Method::Get) return failure(Error{Code::NotFound, "nothing here"});
  if (path == "/healthz") return text(200, "ok\n");
  if (path.starts_with(kReadyPrefix) && path.ends_with(kReadySuffix) &&
      path.size() > kReadyPrefix.size() + kReadySuffix.size()) {
    const std::string name{
        path.substr(kReadyPrefix.size(), path.size() - kReadyPrefix.size() - kReadySuffix.size())};
    const auto module = local_module(name);
    return module && is_ready(store_.status(*module)) ? text(200, "ready\n") : text(404, "not ready\n");
  }
  if (path == "/metrics" && !request.user.empty() && request.door != Door::Probe) return metrics(request, {});
  return failure(Error{Code::NotFound, fmt::format("nothing at '{}'; the API is below {}", path, kRoot)});
}

bool Routes::is_watch(const Request& request) {
  return request.method == Method::Get && query_of(request, "watch") == "true";
}

Result<std::shared_ptr<WatchStream>> Routes::watch(const Request& request) {
  if (request.user.empty())
    return Error{Code::Denied, "log in first: this needs a token (safekit --token-file FILE)"};
  const std::string node = query_of(request, "node");
  if (!node.empty() && node != store_.node().str()) {
    return Error{Code::Unsupported,
                 fmt::format("a node shows its own changes only: watch on '{0}' itself, or with --server "
                             "https://{0}:{1}",
                             node, kHttpsPort)};
  }
  WatchFilter filter{.name = query_of(request, "name"), .verbose = query_of(request, "verbose") == "true"};
  const auto number = [&request](const std::string& name) {
    const std::string value = query_of(request, name);
    std::uint64_t parsed = 0;
    std::from_chars(value.data(), value.data() + value.size(), parsed);
    return parsed;
  };
  filter.since = Revision{number("resourceVersion")};
  filter.last = std::min<std::size_t>(number("last"), store::Backend::kEventsMaxPerModule);
  if (const std::string limit = query_of(request, "timeout"); !limit.empty()) {
    SK_TRY(filter.limit, parse_duration(limit));
  }
  if (!request.path.starts_with(std::string{kRoot} + "/"))
    return Error{Code::NotFound, "nothing to watch here"};
  const auto path = segments_of(std::string_view{request.path}.substr(kRoot.size()));
  const std::string first = path.empty() ? "" : path[0];
  if (path.size() == 3 && first == "modules" && path[2] == "events") {
    filter.what = WatchFilter::What::Events;
    filter.name = path[1];
    return hub_.open(filter);
  }
  if (path.size() == 2 && (first == "modules" || first == "clusters")) filter.name = path[1];
  if (path.size() > 2 || path.empty())
    return Error{Code::NotFound, fmt::format("'{}' cannot be watched", request.path)};
  if (first == "modules") {
    filter.what = WatchFilter::What::Modules;
  } else if (first == "clusters") {
    filter.what = WatchFilter::What::Clusters;
  } else if (first == "nodes") {
    filter.what = WatchFilter::What::Nodes;
  } else if (first == "events") {
    filter.what = WatchFilter::What::Events;
    if (filter.name.empty()) filter.name = query_of(request, "module");
  } else {
    return Error{Code::NotFound, fmt::format("'{}' cannot be watched", request.path)};
  }
  return hub_.open(filter);
}

}  // namespace safekit::api
