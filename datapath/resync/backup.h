#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "datapath/journal/journal.h"
#include "datapath/linux/clock.h"

/// External synchronisation: the other copy is made from a backup of this one, and only what was changed since is to be copied.
/// Both nodes name the backup by the same uid, from which a data generation follows; so a restored copy is one that was left
/// behind at that generation. All pure. Source: spec/runtime.md 5.8; docs/resync.md, "From a backup".
namespace safekit::resync {

struct Backup {
  std::string uid{};
  std::string peer{};           ///< the other node
  std::int64_t chosen{0};       ///< when it was declared on this node, ns of 1970
  std::int64_t setting{0};      ///< of the clock then (linux_os::FileMoment)
  bool detects_changes{true};   ///< of what others do between that moment and the start
};

[[nodiscard]] DataGeneration generation_of(std::string_view uid);

/// The backup is going to be taken of this copy, which changes from now on as generation `fresh`. What the peer may lack is to be
/// noted anew. Errors: Conflict for a uid that was used before: an older copy might be taken for the restored one.
Status begin_backup(journal::State& state, const Backup& backup, DataGeneration fresh);

/// With begin_backup, of a copy that is in no role: the backup has what it is now, but for what others change from then on.
void rest_for_backup(journal::State& state, const Backup& backup, const linux_os::FileMoment& now, const std::string& boot);

/// This copy was restored from it. Not to be promoted before it is synchronised.
void declare_restored(journal::State& state, const Backup& backup, const linux_os::FileMoment& now, const std::string& boot);

/// As seen from the primary: does the peer say that it was made from the backup since which changes are noted here?
[[nodiscard]] bool is_restored(const journal::State& primary, DataGeneration peer);

}  // namespace safekit::resync
