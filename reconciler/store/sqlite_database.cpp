#include "reconciler/store/sqlite_database.h"

#include <fmt/format.h>
#include <sqlite3.h>

namespace safekit::store {
namespace {

Error to_error(sqlite3* database, int code, const std::string& where) {
  const std::string what = fmt::format("'{}': {}", where, database == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database));
  switch (code & 0xff) {
    case SQLITE_FULL: return Error{Code::Exhausted, what + " (free some space on this disk)"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Error{Code::Corrupt, what};
    default: return Error{Code::Io, what};
  }
}

}  // namespace

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Result<bool> Query::step() {
  const int code = statement_ == nullptr ? sqlite3_errcode(database_) : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return to_error(database_, code, sqlite3_db_filename(database_, "main"));
}

Status Query::run() {
  SK_TRY([[maybe_unused]] const bool row, step());
  return {};
}

std::int64_t Query::number(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string{} : std::string{bytes, static_cast<std::size_t>(size)};
}

void Query::bind_one(std::string_view value) {
  // A null pointer would bind NULL; an empty text is meant.
  const char* data = value.data() == nullptr ? "" : value.data();
  sqlite3_bind_text64(statement_, next_++, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Query::bind_number(std::int64_t value) { sqlite3_bind_int64(statement_, next_++, value); }

Database::~Database() { close(); }

void Database::close() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  statements_.clear();
  sqlite3_close(handle_);
  handle_ = nullptr;
}

Status Database::open(const std::string& path, Sync sync, std::span<const Migration> migrations) {
  path_ = path;
  const int code = sqlite3_open_v2(path.c_str(), &handle_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const Error error = to_error(handle_, code, path);
    close();
    return error;
  }
  Status status = prepare_file(sync);
  if (status) status = migrate(migrations);
  if (!status) close();
  return status;
}

Status Database::prepare_file(Sync sync) {
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, 5000);
  SK_TRY_VOID(execute("PRAGMA journal_mode=WAL"));
  SK_TRY_VOID(execute(sync == Sync::Full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  // A file that grew in a burst shrinks again; readers see no difference.
  SK_TRY_VOID(execute("PRAGMA journal_size_limit=4194304"));
  // KiB. The kernel caches the files as well; a bigger one only fills slowly and looks like a leak.
  SK_TRY_VOID(execute("PRAGMA cache_size=-256"));
  // The hook also takes the place of the automatic checkpoint, which would run inside a commit.
  sqlite3_wal_hook(
      handle_,
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Database*>(self)->wal_pages_ = pages;
        return SQLITE_OK;
      },
      this);
  return {};
}

Status Database::migrate(std::span<const Migration> migrations) {
  int applied = 0;
  {
    Query query = this->query("PRAGMA user_version");
    SK_TRY(const bool row, query.step());
    if (row) applied = static_cast<int>(query.number(0));
  }
  SK_TRY(const auto missing, pending_migrations(migrations, applied, path_));
  for (const Migration& migration : missing) {
    const std::string sql = fmt::format("BEGIN IMMEDIATE; {} PRAGMA user_version={}; COMMIT;", migration.sql, migration.number);
    if (Status status = execute(sql.c_str()); !status) {
      (void)execute("ROLLBACK");  // the first error is the one to report
      return Error{status.error().code,
                   fmt::format("step {} ({}) of its format: {}", migration.number, migration.name, status.error().what)};
    }
  }
  return {};
}

Query Database::query(std::string_view sql) {
  const auto [it, is_new] = statements_.try_emplace(sql, nullptr);
  if (it->second == nullptr) {
    sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &it->second, nullptr);
  }
  return {handle_, it->second};
}

Status Database::execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return to_error(handle_, code, path_);
  return {};
}

void Database::checkpoint(const std::string& path) {
  // A connection of its own: the other one stays free for commits meanwhile. A failure is tried again with the next log.
  sqlite3* handle = nullptr;
  if (sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) == SQLITE_OK) {
    // Not sqlite3_wal_checkpoint_v2: a connection that has read nothing does not know of the log, and does nothing with success.
    sqlite3_exec(handle, "PRAGMA wal_checkpoint(PASSIVE)", nullptr, nullptr, nullptr);
    // What was committed meanwhile, which is little, while commits wait: else a log that is always written would never begin anew.
    sqlite3_busy_timeout(handle, 1000);
    sqlite3_exec(handle, "PRAGMA wal_checkpoint(RESTART)", nullptr, nullptr, nullptr);
  }
  sqlite3_close(handle);
}

}  // namespace safekit::store
