#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::store {

enum class Kind { Cluster, Module };

/// Which object. A Cluster is called `cluster`: a node belongs to one.
struct ObjectKey {
  Kind kind{Kind::Module};
  std::string name{};
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

inline const ObjectKey kClusterKey{Kind::Cluster, "cluster"};

/// One revision of desired state. `spec` is the canonical JSON of the whole typed object (metadata and spec), so that
/// equal digests mean equal wishes. A deleted object stays as a tombstone until every node has it.
struct Object {
  ObjectKey key{};
  std::string spec{};
  std::uint64_t generation{0};     ///< grows by one with each change of the spec
  std::string digest{};            ///< of `spec`, `generation` and `parent`: names this revision; `x...`: a tombstone
  std::string parent{};            ///< digest of the revision it was made from; empty for the first
  std::string author{};            ///< `root`, `admin@10.0.0.1`, ...
  NodeName origin{};               ///< the node it was applied on
  WallTime time{};
  bool deleted{false};
  Revision revision{};             ///< of this node's store at the change: orders what a watch shows
  friend bool operator==(const Object&, const Object&) = default;
};

/// `metadata.resourceVersion`: the end of the digest as a number. The same on every node that has this revision, so
/// that an edit begun on one node may be applied on another. Never 0.
[[nodiscard]] std::uint64_t version_of(const Object& object);

/// Two revisions of one object of which neither was made from the other: two edits in two halves of a cluster. Each node
/// goes on with its own until `apply --take NODE` (Store::take) or a new apply, which follows both.
struct Conflict {
  NodeName peer{};                     ///< the node that has the other revision
  Object theirs{};
  std::vector<std::string> history{};  ///< of `theirs`, newest first
  friend bool operator==(const Conflict&, const Conflict&) = default;
};

/// A secondary that waits for a date of `syncAt` is synchronised now. Of the role controller, like those of the commands.
inline constexpr const char* kSyncNow = "sync-now";

/// The counter of corrective actions: one more (its outcome says whether that was one too many), none, and the same question.
inline constexpr const char* kIncLoop = "incloop";
inline constexpr const char* kResetLoop = "resetloop";
inline constexpr const char* kCheckLoop = "checkloop";

/// One of the two operations that the replication controller consumes.
inline constexpr const char* kUpgradeDatapath = "upgrade-datapath";

/// And the other: how the next synchronisation is to be made. Its argument: `default`, `full`, `date TIME` (as to_string gives it),
/// `prim UID`, `second UID`, the last two perhaps with ` blind` behind.
inline constexpr const char* kRfsSync = "rfssync";

/// The caller of the start after a boot; its line has no `by`.
inline constexpr const char* kAtBootTime = "at boot time";

/// A one-shot command for one node, consumed exactly once by that node's role controller (design.md 4).
struct Operation {
  std::uint64_t id{0};
  std::string module{};
  std::string verb{};      ///< start stop stopstart restart prim second swap forcestop ...
  std::string argument{};  ///< `fullsync`, `nosync`; of rfssync see above
  std::string caller{};    ///< shown as `Action <verb> called by <caller>`
  bool automatic{false};   ///< `-i identity`: counts for maxloop; without it the counter is reset
  WallTime time{};
  /// Empty while pending; then `done` or why it was refused.
  std::string outcome{};
  friend bool operator==(const Operation&, const Operation&) = default;
};
/// Consumed by the replication controller, all others by the role controller.
[[nodiscard]] inline bool is_of_replication(const Operation& operation) {
  return operation.verb == kUpgradeDatapath || operation.verb == kRfsSync;
}

}  // namespace safekit::store
