#pragma once

#include <cstdint>
#include <string>

#include "datapath/journal/data_generations.h"
#include "datapath/wire/message.h"

namespace safekit::resync {

/// What two copies know of each other when they meet.
struct Meeting {
  journal::Relation relation{journal::Relation::BothNew};  ///< the peer's copy, seen from the primary
  bool peer_exact{false};       ///< the peer holds exactly what its generation says
  bool peer_inconsistent{false};
  bool peer_up_to_date{false};
  bool zones_complete{false};   ///< the primary's zone map names all that the peer's generation misses
  bool zones_empty{false};
  bool full_wanted{false};      ///< either side was told to compare everything
  bool same_partner{false};     ///< both were last synchronised with each other
};

struct Decision {
  wire::ResyncMode mode{wire::ResyncMode::Full};
  bool diverged{false};  ///< the peer's own writes will be overwritten
  std::string reason{};
  friend bool operator==(const Decision&, const Decision&) = default;
};

/// Which way to make the peer's copy equal. Pure; anything in doubt is compared in full.
[[nodiscard]] Decision choose(const Meeting& meeting);

}  // namespace safekit::resync
