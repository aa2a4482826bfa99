#pragma once

#include "reconciler/store/store.h"
#include "reconciler/store/watch.h"

namespace safekit::store {

/// What a Store holds in memory; only store.cpp and operations.cpp see it.
struct Store::Impl {
  Impl(Backend& disk, const Clock& time) : backend(disk), clock(time) {}

  template <class T>
  struct Parsed {
    std::string digest{};  ///< of the revision it was parsed from
    std::shared_ptr<const T> value{};
  };

  Backend& backend;
  const Clock& clock;
  std::map<ObjectKey, StoredObject> objects{};
  std::map<ObjectKey, std::map<NodeName, Conflict>> conflicts{};
  std::map<ModuleName, status::Module> statuses{};
  std::map<std::uint64_t, Operation> pending{};
  std::map<std::string, std::string> durable_facts{};
  std::map<std::string, std::string> relaxed_facts{};
  std::map<ObjectKey, Parsed<spec::Cluster>> clusters{};
  std::map<ObjectKey, Parsed<spec::Module>> modules{};
  Watchers<Change> watchers{};
  std::uint64_t revision{0};
  std::uint64_t revision_limit{0};  ///< on disk: what was given out before a crash is not given out again
  std::uint64_t next_operation{1};
  std::string history_problem{};

  void load();
  /// The next revision. Where the durable limit is reached, a new one is put into the batch.
  Revision next_revision(Batch& batch);
  void tell(Change::What what, Kind kind, const std::string& name);
  [[nodiscard]] const StoredObject* find(const ObjectKey& key) const;  ///< a tombstone is found
  Status check_expected(const StoredObject* current, const ApplyOptions& options) const;
  Result<Object> store_own(Object object, std::vector<std::string> history, bool extends_history, bool dry_run);
  Status keep(StoredObject stored, bool extends_history);
  [[nodiscard]] std::vector<ObjectKey> surplus_tombstones(const ObjectKey& added) const;
  void note_history(const Status& status);
};

}  // namespace safekit::store
