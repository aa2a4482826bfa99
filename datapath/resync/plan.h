#pragma once

#include <cstdint>
#include <string>

#include "datapath/journal/activity_log.h"
#include "datapath/journal/data_generations.h"
#include "datapath/wire/message.h"

namespace safekit::resync {

/// The logs of activity of one copy (journal::State).
struct Logs {
  journal::LogPoint base{};
  journal::LogPoint own{};
  friend bool operator==(const Logs&, const Logs&) = default;
};
/// Do the two copies differ by nothing but what their own logs name? One of them was on disk with all that the other had at
/// a checkpoint of the other's log, and everything since is in that log and in its own. Pure.
[[nodiscard]] bool are_logged(const Logs& primary, const Logs& secondary);

/// What two copies know of each other when they meet.
struct Meeting {
  journal::Relation relation{journal::Relation::BothNew};  ///< the peer's copy, seen from the primary
  bool peer_exact{false};       ///< the peer holds exactly what its generation says
  bool peer_inconsistent{false};
  bool peer_up_to_date{false};
  bool zones_complete{false};   ///< the primary's zone map names all that the peer's generation misses
  bool zones_empty{false};
  bool logged{false};           ///< the logs of both name all that may differ (are_logged), and both could be read
  bool logs_empty{false};       ///< with the zone map they name nothing
  bool outside_known{true};     ///< what others changed in either copy while it was stopped is in the zone map
  bool full_wanted{false};      ///< either side was told to compare everything
  bool restored{false};         ///< the peer's copy was made from the backup since which the zone map tells all (resync/backup.h)
  std::int64_t since{0};        ///< a person says that files which were not changed since then are equal; 0: nobody does
  bool same_partner{false};     ///< both were last synchronised with each other
};

struct Decision {
  wire::ResyncMode mode{wire::ResyncMode::Full};
  bool by_logs{false};   ///< the zone map is not enough: what the logs name is to be compared too
  bool diverged{false};  ///< the peer's own writes will be overwritten
  std::int64_t since{0};  ///< Chosen: content of files that were changed since then; 0: of what the zone map names
  std::string reason{};
  friend bool operator==(const Decision&, const Decision&) = default;
};

/// Which way to make the peer's copy equal. Pure; anything in doubt is compared in full.
[[nodiscard]] Decision choose(const Meeting& meeting);

}  // namespace safekit::resync
