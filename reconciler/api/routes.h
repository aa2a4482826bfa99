#pragma once

#include <optional>

#include "reconciler/api/request.h"
#include "reconciler/api/watch_stream.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/loop.h"

namespace safekit::api {

/// How this node reaches another one.
struct NodeLink {
  NodeName name{};
  bool reachable{false};
  std::string problem{};  ///< why it is not reachable
  std::map<std::string, bool> lans{};  ///< lan to up
  std::string version{};
};

/// Trust and membership of the cluster: what only the daemon's main, with peer/identity, can do. Thread: the
/// loop's; `done` is called exactly once, on the loop, with the tree of the answer.
class ClusterActions {
 public:
  using Done = std::function<void(Result<doc::Node>)>;
  virtual ~ClusterActions() = default;
  /// Makes the cluster's authority and this node's certificate. `node` may be empty: the host name.
  virtual void init(const std::string& node, Done done) = 0;
  /// A secret, good for one join. Answer: `token`, `expires`.
  virtual void token(Done done) = 0;
  /// On the node that joins: asks the node that made the token for a certificate, and takes the cluster's
  /// objects.
  virtual void join(const std::string& token, const std::string& node, Done done) = 0;
  /// On a node of the cluster, without log-in: answers the one that joins. The body proves the secret; body
  /// and answer are peer/identity's.
  virtual void admit(const std::string& body, std::function<void(Result<std::string>)> done) = 0;
};

struct Callbacks {
  /// Passes a request to another node. Errors as responses: 503 when it is not linked, 504 when it does not
  /// answer.
  std::function<void(const NodeName&, const Request&, Respond)> forward{};
  std::function<std::vector<NodeLink>()> links{};
  std::function<std::string()> metrics{};  ///< text of the daemon's meter, beside what the store says
  ClusterActions* cluster{nullptr};
};

/// Requests to replies over the store. Nothing here waits: what takes longer answers later.
/// Thread: the loop's. A service.
class Routes {
 public:
  using Parameters = std::vector<std::string>;  ///< what stood at each `*` of the pattern
  using Handler = std::function<void(const Request&, const Parameters&, Respond)>;
  Routes(store::Store& store, Loop& loop, const Clock& clock, Callbacks callbacks);
  Routes(const Routes&) = delete;
  Routes& operator=(const Routes&) = delete;
  ~Routes();
  void handle(const Request& request, Respond respond);
  /// `?watch=true`: a stream instead of a reply.
  [[nodiscard]] static bool is_watch(const Request& request);
  Result<std::shared_ptr<WatchStream>> watch(const Request& request);
  /// A further route, such as `why` or `simulate`. `pattern` is below kRoot: `modules/*/why`.
  void add(Method method, std::string pattern, Handler handler);

 private:
  struct Route {
    Method method{Method::Get};
    std::vector<std::string> pattern{};
    Handler handler{};
  };
  struct Waiter {
    std::uint64_t operation{0};
    Respond respond{};
    TimerId timer{0};
  };
  using Plain = Response (Routes::*)(const Request&, const Parameters&);
  void add_plain(Method method, std::string pattern, Plain handler);
  void add_object_routes();
  void add_module_routes();
  void add_cluster_routes();
  void forward(const NodeName& node, const Request& request, Respond respond);
  Response open_page(const Request& request);

  // routes_objects.cpp
  Response list(store::Kind kind);
  Response one(store::Kind kind, const std::string& name);
  Response apply(const Request& request, std::optional<store::ObjectKey> only);
  Response patch(const Request& request, const store::ObjectKey& key);
  void remove(const Request& request, const store::ObjectKey& key, const Respond& respond);
  Response remove_here(const Request& request, const store::ObjectKey& key);
  Response take(const Request& request, const store::ObjectKey& key);

  // routes_modules.cpp
  Response module_status(const Request& request, const Parameters& at);
  Response post_operation(const Request& request, const Parameters& at);
  void get_operation(const Request& request, const Parameters& at, Respond respond);
  void operations_changed();
  Response events(const Request& request, const Parameters& at);
  Response add_event(const Request& request, const Parameters& at);
  Response set_resource(const Request& request, const Parameters& at);
  void update_scripts(const ModuleName& module, const std::string& caller);
  Response change_settings(const Request& request, const Parameters& at);
  Response nodes(const Request& request, const Parameters& at);
  Response metrics(const Request& request, const Parameters& at);
  [[nodiscard]] Result<ModuleName> local_module(const std::string& name) const;
  [[nodiscard]] doc::Node nodes_view() const;

  store::Store& store_;
  Loop& loop_;
  const Clock& clock_;
  Callbacks callbacks_;
  std::vector<Route> routes_{};
  WatchHub hub_;
  std::map<std::uint64_t, Waiter> waiters_{};
  std::uint64_t last_waiter_{0};
  std::uint64_t store_watch_{0};
};

}  // namespace safekit::api
