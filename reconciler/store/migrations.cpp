#include "reconciler/store/migrations.h"

#include <array>

#include <fmt/format.h>

namespace safekit::store {
namespace {

constexpr std::array<Migration, 1> kControl{{{1, "objects, operations, facts", R"(
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE objects (kind INTEGER NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL, generation INTEGER NOT NULL,
  digest TEXT NOT NULL, parent TEXT NOT NULL, author TEXT NOT NULL, origin TEXT NOT NULL, time INTEGER NOT NULL,
  deleted INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE history (kind INTEGER NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (kind, name, number)) WITHOUT ROWID;
CREATE TABLE operations (id INTEGER PRIMARY KEY, module TEXT NOT NULL, verb TEXT NOT NULL, argument TEXT NOT NULL,
  caller TEXT NOT NULL, automatic INTEGER NOT NULL, time INTEGER NOT NULL);
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)"}}};

constexpr std::array<Migration, 1> kHistory{{{1, "events, finished operations, relaxed facts", R"(
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, node TEXT NOT NULL,
  module TEXT NOT NULL, component TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX events_by_module ON events (module, id);
CREATE TABLE finished (id INTEGER PRIMARY KEY, module TEXT NOT NULL, verb TEXT NOT NULL, argument TEXT NOT NULL,
  caller TEXT NOT NULL, automatic INTEGER NOT NULL, time INTEGER NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)"}}};

}  // namespace

std::span<const Migration> control_migrations() { return kControl; }
std::span<const Migration> history_migrations() { return kHistory; }

Result<std::span<const Migration>> pending_migrations(std::span<const Migration> known, int applied,
                                                      const std::string& file) {
  const int newest = known.empty() ? 0 : known.back().number;
  if (applied > newest) {
    return Error{Code::Unsupported,
                 fmt::format("'{}' was written by a newer safekit: it has format {}, this program knows formats up to "
                             "{}. Install the newer safekit again, or give this one another state directory",
                             file, applied, newest)};
  }
  if (applied < 0) return Error{Code::Corrupt, fmt::format("'{}' says that it has format {}", file, applied)};
  return known.subspan(static_cast<std::size_t>(applied));
}

}  // namespace safekit::store
