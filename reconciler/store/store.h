#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/store/backend.h"
#include "reconciler/store/object.h"
#include "schema/base/result.h"
#include "schema/port/clock.h"
#include "schema/spec/cluster.h"
#include "schema/spec/module.h"
#include "schema/status/event.h"
#include "schema/status/module.h"

namespace safekit::store {

/// What a watcher hears of: the key of what changed. It reads the rest itself; repeated and merged changes do not matter.
struct Change {
  enum class What { Object, Status, Operation, Event, Peers };
  What what{What::Object};
  Kind kind{Kind::Module};
  std::string name{};  ///< of the object, or the module
  Revision revision{};
  friend bool operator==(const Change&, const Change&) = default;
};

struct ApplyOptions {
  std::string author{"root"};
  bool dry_run{false};
  /// `metadata.resourceVersion` the caller started from; Conflict when the object has moved on.
  std::optional<std::uint64_t> expected{};
};

/// The only door to a node's state. Desired state, operations and facts are on disk before a call returns
/// (synchronous=FULL); live status is in memory; events and value history are in a second, relaxed database.
/// Thread: the loop's. API workers reach it through Loop::post. A service: not copied, not moved.
class Store {
 public:
  Store(Backend& backend, const Clock& clock, NodeName node);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  // Desired state.
  [[nodiscard]] std::optional<Object> get(const ObjectKey& key) const;  ///< a tombstone is not found
  [[nodiscard]] std::vector<Object> list(Kind kind) const;
  /// Stores a new revision made here (generation + 1, parent = current digest). The same spec again changes nothing and
  /// gives the current object back. Errors: Conflict (options.expected), Io, Exhausted (disk full).
  Result<Object> apply(const ObjectKey& key, const std::string& spec, const ApplyOptions& options);
  Result<Object> remove(const ObjectKey& key, const ApplyOptions& options);
  /// Digests of this object's revisions, newest first, its own included, bounded (kHistoryMax).
  [[nodiscard]] std::vector<std::string> history(const ObjectKey& key) const;
  /// Digest of the last tombstone among them: what has this name now was made after it. Empty: none is known.
  [[nodiscard]] std::string last_end(const ObjectKey& key) const;
  [[nodiscard]] std::vector<Object> all_with_tombstones() const;
  /// All of them with their histories, to look at; valid until the next change.
  [[nodiscard]] const std::map<ObjectKey, StoredObject>& stored() const;
  /// Stores a revision received from a peer as it is. The caller has decided that it may (peer/exchange).
  Status adopt(const Object& object, const std::vector<std::string>& history);

  // Conflicts with revisions of peers; found anew at each contact, so they are in memory only.
  [[nodiscard]] std::vector<Conflict> conflicts() const;
  [[nodiscard]] std::vector<Conflict> conflicts(const ObjectKey& key) const;
  void set_conflict(Conflict conflict);
  void clear_conflict(const ObjectKey& key, const NodeName& peer);
  /// Ends a conflict: the revision of that node (also this one) becomes the newest, made from all sides. NotFound when
  /// there is no conflict with it.
  Result<Object> take(const ObjectKey& key, const NodeName& from, const ApplyOptions& options);

  // The same, typed; parsed once per revision and shared.
  [[nodiscard]] std::shared_ptr<const spec::Cluster> cluster() const;
  [[nodiscard]] std::shared_ptr<const spec::Module> module(const ModuleName& name) const;
  /// Modules whose spec names this node.
  [[nodiscard]] std::vector<ModuleName> local_modules() const;
  [[nodiscard]] const NodeName& node() const { return node_; }

  // Live status, one entry per local module, made on first use.
  [[nodiscard]] const status::Module& status(const ModuleName& name) const;
  /// Changes a section; watchers hear of it only when something differs. Returns whether it did.
  bool update_status(const ModuleName& name, const std::function<void(status::Module&)>& change);
  void forget_status(const ModuleName& name);

  // Operations. Durable from submit on; `finish` removes it from the pending ones and keeps its outcome for the audit.
  Result<std::uint64_t> submit(Operation operation);
  [[nodiscard]] std::vector<Operation> pending(const ModuleName& module) const;
  Status finish(std::uint64_t id, const std::string& outcome);
  [[nodiscard]] std::optional<Operation> operation(std::uint64_t id) const;  ///< also a finished one, while kept

  // Facts: small values a controller must find again after a restart of the daemon (`durable` also after power loss).
  [[nodiscard]] std::optional<std::string> fact(const std::string& key) const;
  Status set_fact(const std::string& key, const std::string& value, bool durable);
  Status forget_fact(const std::string& key);

  // Events.
  void record(status::Event event);  ///< fills in time and node; bounded per module, oldest go first
  void record(const ModuleName& module, std::string component, char level, std::string text);
  [[nodiscard]] std::vector<status::Event> events(const ModuleName& module, std::size_t last, bool verbose) const;

  /// Calls back, on the loop, for each change after the call. Returns an id for unwatch.
  std::uint64_t watch(std::function<void(const Change&)> task);
  void unwatch(std::uint64_t id);
  /// Tells the watchers of something that is not in the store itself: a link to a peer came or went.
  void announce(Change::What what, const std::string& name);
  [[nodiscard]] Revision revision() const;
  /// Why events are not kept at the moment; empty: they are.
  [[nodiscard]] const std::string& history_problem() const;

  /// A node that missed more revisions of an object than this sees a conflict instead of an old copy.
  static constexpr std::size_t kHistoryMax = 1024;
  static constexpr std::size_t kObjectsMax = 4096;
  static constexpr std::size_t kTombstonesMax = 1024;  ///< the oldest are dropped
  static constexpr std::size_t kSpecBytesMax = 8U << 20;
  static constexpr std::size_t kPendingMax = 1024;
  static constexpr std::size_t kFactsMax = 16'384;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  NodeName node_;
};

/// Whom an object concerns; an empty list: all nodes. Nothing: this program does not understand the spec.
[[nodiscard]] std::optional<std::vector<NodeName>> nodes_of(const Object& object);
/// A module that names no node is for all.
[[nodiscard]] bool names(const spec::Module& module, const NodeName& node);

}  // namespace safekit::store
