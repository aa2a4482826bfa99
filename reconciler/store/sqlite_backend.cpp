#include "reconciler/store/sqlite_backend.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include "reconciler/store/sqlite_database.h"
#include "reconciler/store/state_lock.h"
#include "reconciler/store/store.h"

namespace safekit::store {
namespace {

constexpr int kCheckpointPages = 512;          // 2 MiB of log
constexpr std::uint32_t kEventsPerPruning = 512;

/// Copies the logs of both files into them, away from the loop. A service; its end waits for a copy under way.
class Checkpointer {
 public:
  explicit Checkpointer(std::array<std::string, 2> paths) : paths_(std::move(paths)) {}
  void ask(std::size_t index) {
    const std::lock_guard lock{mutex_};
    wanted_[index] = true;
    wake_.notify_one();
  }

 private:
  void run(const std::stop_token& stop) {
    std::unique_lock lock{mutex_};
    while (wake_.wait(lock, stop, [this] { return wanted_[0] || wanted_[1]; })) {
      const std::array<bool, 2> now = std::exchange(wanted_, {false, false});
      lock.unlock();
      for (std::size_t i = 0; i < now.size(); ++i) {
        if (now[i]) Database::checkpoint(paths_[i]);
      }
      lock.lock();
    }
  }
  std::array<std::string, 2> paths_;
  std::mutex mutex_{};
  std::condition_variable_any wake_{};
  std::array<bool, 2> wanted_{false, false};
  std::jthread thread_{[this](const std::stop_token& stop) { run(stop); }};
};

Operation read_operation(const Query& row) {
  return Operation{.id = static_cast<std::uint64_t>(row.number(0)),
                   .module = row.text(1),
                   .verb = row.text(2),
                   .argument = row.text(3),
                   .caller = row.text(4),
                   .automatic = row.number(5) != 0,
                   .time = WallTime{row.number(6)}};
}

Status set_aside(const std::string& path) {
  std::error_code error;
  for (const char* end : {"", "-wal", "-shm"}) {
    if (!std::filesystem::exists(path + end)) continue;
    std::filesystem::rename(path + end, path + ".damaged" + end, error);
    if (error) return Error{Code::Io, fmt::format("'{}' is damaged and cannot be set aside: {}", path, error.message())};
  }
  return {};
}

}  // namespace

struct SqliteBackend::Impl {
  StateLock lock{};
  std::string directory{};
  Database control{};
  Database history{};
  Snapshot at_start{};
  std::uint32_t events_since_pruning{0};
  std::optional<Checkpointer> checkpointer{};

  Status read_all();
  Status read_objects();
  Status write_object(const Batch::ObjectChange& change);
  Status write_history(const Batch::ObjectChange& change);
  Status write_operations(const Batch& batch);
  Status write_facts_and_numbers(const Batch& batch);
  Status write(const Batch& batch);
  Status room_for_history() const;
  Status prune_events();
  void after_commit(Database& database, std::size_t index) {
    if (database.wal_pages() < kCheckpointPages) return;
    database.forget_wal_pages();
    checkpointer->ask(index);
  }
};

SqliteBackend::SqliteBackend(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SqliteBackend::~SqliteBackend() = default;

Result<std::unique_ptr<SqliteBackend>> SqliteBackend::open(const std::string& directory) {
  auto impl = std::make_unique<Impl>();
  SK_TRY(impl->lock, StateLock::take(directory));
  impl->directory = directory;
  const std::string control = directory + "/control.db";
  const std::string history = directory + "/history.db";
  Status status = impl->control.open(control, Database::Sync::Full, control_migrations());
  if (status) status = impl->read_all();
  if (!status) {
    if (status.error().code != Code::Corrupt) return status.error();
    return Error{Code::Corrupt, fmt::format("the state of this node is damaged ({}): move '{}' away, then join the "
                                            "cluster again to get the state of the other nodes",
                                            status.error().what, directory)};
  }
  status = impl->history.open(history, Database::Sync::Normal, history_migrations());
  if (!status && status.error().code == Code::Corrupt) {
    SK_TRY_VOID(set_aside(history));
    status = impl->history.open(history, Database::Sync::Normal, history_migrations());
  }
  if (!status) return status.error();
  Query facts = impl->history.query("SELECT key, value FROM facts");
  for (;;) {
    SK_TRY(const bool row, facts.step());
    if (!row) break;
    impl->at_start.relaxed_facts.emplace(facts.text(0), facts.text(1));
  }
  impl->checkpointer.emplace(std::array<std::string, 2>{control, history});
  return std::unique_ptr<SqliteBackend>{new SqliteBackend{std::move(impl)}};
}

Status SqliteBackend::Impl::read_objects() {
  Query query = control.query(
      "SELECT kind, name, spec, generation, digest, parent, author, origin, time, deleted, revision FROM objects");
  for (;;) {
    SK_TRY(const bool row, query.step());
    if (!row) break;
    StoredObject stored{};
    Object& object = stored.object;
    object.key = {.kind = query.number(0) == 0 ? Kind::Cluster : Kind::Module, .name = query.text(1)};
    object.spec = query.text(2);
    object.generation = static_cast<std::uint64_t>(query.number(3));
    object.digest = query.text(4);
    object.parent = query.text(5);
    object.author = query.text(6);
    object.origin = NodeName{query.text(7)};
    object.time = WallTime{query.number(8)};
    object.deleted = query.number(9) != 0;
    object.revision = Revision{static_cast<std::uint64_t>(query.number(10))};
    Query digests = control.query("SELECT digest FROM history WHERE kind=? AND name=? ORDER BY number DESC");
    digests.bind(query.number(0), object.key.name);
    for (;;) {
      SK_TRY(const bool more, digests.step());
      if (!more) break;
      stored.history.push_back(digests.text(0));
    }
    at_start.objects.push_back(std::move(stored));
  }
  return {};
}

Status SqliteBackend::Impl::read_all() {
  SK_TRY_VOID(read_objects());
  Query operations = control.query(
      "SELECT id, module, verb, argument, caller, automatic, time FROM operations ORDER BY id");
  for (;;) {
    SK_TRY(const bool row, operations.step());
    if (!row) break;
    at_start.operations.push_back(read_operation(operations));
  }
  Query facts = control.query("SELECT key, value FROM facts");
  for (;;) {
    SK_TRY(const bool row, facts.step());
    if (!row) break;
    at_start.facts.emplace(facts.text(0), facts.text(1));
  }
  Query numbers = control.query("SELECT name, value FROM meta");
  for (;;) {
    SK_TRY(const bool row, numbers.step());
    if (!row) break;
    const auto value = static_cast<std::uint64_t>(numbers.number(1));
    if (numbers.text(0) == "revision_limit") at_start.revision_limit = value;
    if (numbers.text(0) == "next_operation") at_start.next_operation = value;
  }
  return {};
}

Snapshot SqliteBackend::load() { return std::exchange(impl_->at_start, {}); }

Status SqliteBackend::commit(const Batch& batch) {
  SK_TRY_VOID(impl_->control.execute("BEGIN IMMEDIATE"));
  Status status = impl_->write(batch);
  if (status) status = impl_->control.execute("COMMIT");
  if (!status) {
    (void)impl_->control.execute("ROLLBACK");  // the first error is the one to report; SQLite may have done it already
    return status;
  }
  impl_->after_commit(impl_->control, 0);
  return {};
}

Status SqliteBackend::Impl::write(const Batch& batch) {
  for (const Batch::ObjectChange& change : batch.objects) {
    SK_TRY_VOID(write_object(change));
    SK_TRY_VOID(write_history(change));
  }
  for (const ObjectKey& key : batch.forgotten) {
    const int kind = key.kind == Kind::Cluster ? 0 : 1;
    SK_TRY_VOID(control.query("DELETE FROM objects WHERE kind=? AND name=?").bind(kind, key.name).run());
    SK_TRY_VOID(control.query("DELETE FROM history WHERE kind=? AND name=?").bind(kind, key.name).run());
  }
  SK_TRY_VOID(write_operations(batch));
  return write_facts_and_numbers(batch);
}

Status SqliteBackend::Impl::write_object(const Batch::ObjectChange& change) {
  const Object& object = change.stored.object;
  return control
      .query("INSERT OR REPLACE INTO objects (kind, name, spec, generation, digest, parent, author, origin, time, "
             "deleted, revision) VALUES (?,?,?,?,?,?,?,?,?,?,?)")
      .bind(object.key.kind == Kind::Cluster ? 0 : 1, object.key.name, object.spec, object.generation, object.digest,
            object.parent, object.author, object.origin.str(), object.time.ns, object.deleted, object.revision.value)
      .run();
}

Status SqliteBackend::Impl::write_history(const Batch::ObjectChange& change) {
  const ObjectKey& key = change.stored.object.key;
  const int kind = key.kind == Kind::Cluster ? 0 : 1;
  if (!change.extends_history) {
    SK_TRY_VOID(control.query("DELETE FROM history WHERE kind=? AND name=?").bind(kind, key.name).run());
  }
  std::int64_t number = 0;
  {
    Query newest = control.query("SELECT coalesce(max(number), 0) FROM history WHERE kind=? AND name=?");
    newest.bind(kind, key.name);
    SK_TRY([[maybe_unused]] const bool row, newest.step());
    number = newest.number(0);
  }
  const auto& digests = change.stored.history;
  const std::size_t added = change.extends_history ? 1 : digests.size();
  for (std::size_t i = added; i-- > 0;) {
    SK_TRY_VOID(control.query("INSERT INTO history (kind, name, number, digest) VALUES (?,?,?,?)")
                    .bind(kind, key.name, ++number, digests[i])
                    .run());
  }
  const std::int64_t oldest_kept = number - static_cast<std::int64_t>(Store::kHistoryMax);
  return control.query("DELETE FROM history WHERE kind=? AND name=? AND number<=?").bind(kind, key.name, oldest_kept).run();
}

Status SqliteBackend::Impl::write_operations(const Batch& batch) {
  for (const Operation& operation : batch.operations) {
    SK_TRY_VOID(control
                    .query("INSERT INTO operations (id, module, verb, argument, caller, automatic, time) "
                           "VALUES (?,?,?,?,?,?,?)")
                    .bind(operation.id, operation.module, operation.verb, operation.argument, operation.caller,
                          operation.automatic, operation.time.ns)
                    .run());
  }
  for (const std::uint64_t id : batch.finished) {
    SK_TRY_VOID(control.query("DELETE FROM operations WHERE id=?").bind(id).run());
  }
  return {};
}

Status SqliteBackend::Impl::write_facts_and_numbers(const Batch& batch) {
  for (const auto& [key, value] : batch.facts) {
    if (value) SK_TRY_VOID(control.query("INSERT OR REPLACE INTO facts VALUES (?,?)").bind(key, *value).run());
    else SK_TRY_VOID(control.query("DELETE FROM facts WHERE key=?").bind(key).run());
  }
  const auto put = [this](const char* name, const std::optional<std::uint64_t>& value) -> Status {
    if (!value) return {};
    return control.query("INSERT OR REPLACE INTO meta VALUES (?,?)").bind(std::string_view{name}, *value).run();
  };
  SK_TRY_VOID(put("revision_limit", batch.revision_limit));
  return put("next_operation", batch.next_operation);
}

Status SqliteBackend::Impl::room_for_history() const {
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  if (error || space.available >= kReserveBytes) return {};
  return Error{Code::Exhausted,
               fmt::format("less than {} MiB are free for state directory '{}': events are not kept until there is more",
                           kReserveBytes >> 20, directory)};
}

Status SqliteBackend::put_fact(const std::string& key, const std::optional<std::string>& value) {
  SK_TRY_VOID(impl_->room_for_history());
  Status status =
      value ? impl_->history.query("INSERT OR REPLACE INTO facts VALUES (?,?)").bind(key, *value).run()
            : impl_->history.query("DELETE FROM facts WHERE key=?").bind(key).run();
  impl_->after_commit(impl_->history, 1);
  return status;
}

Status SqliteBackend::append(const status::Event& event) {
  SK_TRY_VOID(impl_->room_for_history());
  SK_TRY_VOID(impl_->history
                  .query("INSERT INTO events (time, node, module, component, level, text) VALUES (?,?,?,?,?,?)")
                  .bind(event.time.ns, event.node.str(), event.module.str(), event.component,
                        std::string_view{&event.level, 1}, event.text)
                  .run());
  if (++impl_->events_since_pruning >= kEventsPerPruning) {
    impl_->events_since_pruning = 0;
    SK_TRY_VOID(impl_->prune_events());
  }
  impl_->after_commit(impl_->history, 1);
  return {};
}

Status SqliteBackend::Impl::prune_events() {
  std::vector<std::string> modules;
  {
    Query query = history.query("SELECT DISTINCT module FROM events");
    for (;;) {
      SK_TRY(const bool row, query.step());
      if (!row) break;
      modules.push_back(query.text(0));
    }
  }
  for (const std::string& module : modules) {
    SK_TRY_VOID(history
                    .query("DELETE FROM events WHERE module=?1 AND id <= (SELECT id FROM events WHERE module=?1 "
                           "ORDER BY id DESC LIMIT 1 OFFSET ?2)")
                    .bind(module, kEventsMaxPerModule)
                    .run());
  }
  return history.query("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?").bind(kEventsMaxTotal).run();
}

std::vector<status::Event> SqliteBackend::events(const ModuleName& module, std::size_t last, bool verbose) {
  std::vector<status::Event> found;
  Query query = verbose ? impl_->history.query("SELECT time, node, component, level, text FROM events WHERE module=? "
                                               "ORDER BY id DESC LIMIT ?")
                        : impl_->history.query("SELECT time, node, component, level, text FROM events WHERE module=? "
                                               "AND level IN ('U','C','E','S') ORDER BY id DESC LIMIT ?");
  query.bind(module.str(), std::min(last, kEventsMaxPerModule));
  // An unreadable history shows as an empty one: nothing but a log depends on it.
  while (query.step().value_or(false)) {
    const std::string level = query.text(3);
    found.push_back(status::Event{.time = WallTime{query.number(0)},
                                  .node = NodeName{query.text(1)},
                                  .module = module,
                                  .component = query.text(2),
                                  .level = level.empty() ? 'I' : level.front(),
                                  .text = query.text(4)});
  }
  std::reverse(found.begin(), found.end());
  return found;
}

Status SqliteBackend::keep_finished(const Operation& operation) {
  SK_TRY_VOID(impl_->room_for_history());
  SK_TRY_VOID(impl_->history
                  .query("INSERT OR REPLACE INTO finished (id, module, verb, argument, caller, automatic, time, "
                         "outcome) VALUES (?,?,?,?,?,?,?,?)")
                  .bind(operation.id, operation.module, operation.verb, operation.argument, operation.caller,
                        operation.automatic, operation.time.ns, operation.outcome)
                  .run());
  Status status = impl_->history.query("DELETE FROM finished WHERE id <= (SELECT max(id) FROM finished) - ?")
                      .bind(kFinishedMax)
                      .run();
  impl_->after_commit(impl_->history, 1);
  return status;
}

std::optional<Operation> SqliteBackend::finished(std::uint64_t id) {
  Query query = impl_->history.query(
      "SELECT id, module, verb, argument, caller, automatic, time, outcome FROM finished WHERE id=?");
  query.bind(id);
  if (!query.step().value_or(false)) return std::nullopt;
  Operation operation = read_operation(query);
  operation.outcome = query.text(7);
  return operation;
}

}  // namespace safekit::store
