#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "reconciler/store/migrations.h"
#include "schema/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace safekit::store {

/// One prepared statement in use: bind in order, step, read columns. Resets itself at the end of its life.
class Query {
 public:
  Query(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();
  template <class... Values>
  Query& bind(const Values&... values) {
    (bind_one(values), ...);
    return *this;
  }
  /// True: a row is there. Errors as Backend.
  Result<bool> step();
  /// For statements that give no rows.
  Status run();
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  void bind_one(std::string_view value);
  void bind_one(const std::string& value) { bind_one(std::string_view{value}); }
  template <class Integer>
    requires std::is_integral_v<Integer>
  void bind_one(Integer value) {
    bind_number(static_cast<std::int64_t>(value));
  }
  void bind_number(std::int64_t value);
  sqlite3* database_;
  sqlite3_stmt* statement_;
  int next_{1};
};

/// An SQLite file in WAL mode with its prepared statements, brought to its newest format when opened. A service.
class Database {
 public:
  enum class Sync { Full, Normal };
  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();
  Status open(const std::string& path, Sync sync, std::span<const Migration> migrations);
  void close();
  /// A statement written in the program's text; it is prepared once.
  [[nodiscard]] Query query(std::string_view sql);
  Status execute(const char* sql);
  /// Copies the log into the file, as far as readers let it; the next commit begins it anew. Thread: any one.
  static void checkpoint(const std::string& path);
  [[nodiscard]] int wal_pages() const { return wal_pages_; }
  void forget_wal_pages() { wal_pages_ = 0; }

 private:
  Status prepare_file(Sync sync);
  Status migrate(std::span<const Migration> migrations);
  sqlite3* handle_{nullptr};
  std::string path_{};
  std::map<std::string_view, sqlite3_stmt*> statements_{};  ///< keys are literals
  int wal_pages_{0};  ///< of the log at the last commit
};

}  // namespace safekit::store
