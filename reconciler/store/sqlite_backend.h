#pragma once

#include <memory>
#include <string>

#include "reconciler/store/backend.h"

namespace safekit::store {

/// The state directory of a node (docs/on-disk.md): `control.db` (WAL, synchronous=FULL: what a caller was promised) and
/// `history.db` (WAL, synchronous=NORMAL: events, finished operations, relaxed facts). Holds the directory's lock.
/// History is refused while less than kReserveBytes are free. A history.db that cannot be read is set aside as
/// `history.db.damaged` and begun anew; a control.db that cannot be read is an error. A service.
/// Thread: the loop's; checkpoints of both files run on a thread of its own, so that a commit waits for
/// the end of one at most, never for the whole.
class SqliteBackend final : public Backend {
 public:
  /// Errors: Conflict (another safekitd holds it), Unsupported (written by a newer version), Corrupt, Io, Exhausted.
  [[nodiscard]] static Result<std::unique_ptr<SqliteBackend>> open(const std::string& directory);
  ~SqliteBackend() override;
  SqliteBackend(const SqliteBackend&) = delete;
  SqliteBackend& operator=(const SqliteBackend&) = delete;

  [[nodiscard]] Snapshot load() override;
  Status commit(const Batch& batch) override;
  Status put_fact(const std::string& key, const std::optional<std::string>& value) override;
  Status append(const status::Event& event) override;
  [[nodiscard]] std::vector<status::Event> events(const ModuleName& module, std::size_t last, bool verbose) override;
  Status keep_finished(const Operation& operation) override;
  [[nodiscard]] std::optional<Operation> finished(std::uint64_t id) override;

  static constexpr std::uint64_t kReserveBytes = 32ULL << 20;

 private:
  struct Impl;
  explicit SqliteBackend(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace safekit::store
