#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/store/object.h"
#include "schema/base/result.h"
#include "schema/status/event.h"

namespace safekit::store {

/// An object as it is kept: its newest revision, and the digests of all that led to it, newest first, its own included.
struct StoredObject {
  Object object{};
  std::vector<std::string> history{};
  friend bool operator==(const StoredObject&, const StoredObject&) = default;
};

/// Everything a store holds in memory, as read from disk at start.
struct Snapshot {
  std::vector<StoredObject> objects{};
  std::vector<Operation> operations{};  ///< pending ones
  std::map<std::string, std::string> facts{};          ///< durable ones
  std::map<std::string, std::string> relaxed_facts{};
  std::uint64_t revision_limit{0};  ///< no revision above it was ever given out
  std::uint64_t next_operation{1};  ///< no operation with this number or above was ever accepted
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

/// What changes together. Members left empty change nothing.
struct Batch {
  struct ObjectChange {
    StoredObject stored{};
    /// The history is the one before plus the object's own digest; false: it replaces the one before.
    bool extends_history{false};
  };
  std::vector<ObjectChange> objects{};
  std::vector<ObjectKey> forgotten{};  ///< tombstones dropped for good
  std::vector<Operation> operations{};
  std::vector<std::uint64_t> finished{};
  std::map<std::string, std::optional<std::string>> facts{};  ///< nothing: removed
  std::optional<std::uint64_t> revision_limit{};
  std::optional<std::uint64_t> next_operation{};
};

/// What the store needs of a disk format. Thread: the loop's. Errors: Exhausted for a full disk, Io.
class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual Snapshot load() = 0;
  /// All or nothing, and on disk when it returns.
  virtual Status commit(const Batch& batch) = 0;

  // Relaxed: kept over the end of this process; the last of them may be lost with the power. They are refused
  // (Exhausted) while the disk is nearly full, so that `commit` still has room.
  virtual Status put_fact(const std::string& key, const std::optional<std::string>& value) = 0;
  virtual Status append(const status::Event& event) = 0;
  /// The last ones of a module (an empty name: of the node itself), oldest first. `verbose`: all levels, else only U C E S.
  [[nodiscard]] virtual std::vector<status::Event> events(const ModuleName& module, std::size_t last, bool verbose) = 0;
  virtual Status keep_finished(const Operation& operation) = 0;
  [[nodiscard]] virtual std::optional<Operation> finished(std::uint64_t id) = 0;

  static constexpr std::size_t kEventsMaxPerModule = 20'000;
  static constexpr std::size_t kEventsMaxTotal = 400'000;
  static constexpr std::size_t kFinishedMax = 10'000;
};

/// Levels of the short module log (spec/runtime.md 7).
[[nodiscard]] constexpr bool is_short_log(char level) {
  return level == 'U' || level == 'C' || level == 'E' || level == 'S';
}

}  // namespace safekit::store
