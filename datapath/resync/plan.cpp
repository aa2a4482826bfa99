#include "datapath/resync/plan.h"

namespace safekit::resync {

using journal::Relation;
using wire::ResyncMode;

Decision choose(const Meeting& meeting) {
  const bool diverged = meeting.relation == Relation::Diverged || meeting.relation == Relation::Unrelated ||
                        meeting.relation == Relation::MineIsOlder;
  const auto full = [&](std::string reason) { return Decision{ResyncMode::Full, diverged, std::move(reason)}; };
  if (diverged) return full("both copies were written");
  if (meeting.peer_inconsistent && !meeting.peer_exact) return full("the last synchronisation of the peer did not end");
  if (!meeting.same_partner) return full("first synchronisation of these two nodes");
  if (meeting.full_wanted) return full("asked for");
  if (!meeting.peer_exact) return full("the peer was not left in order");
  if (!meeting.zones_complete) return full("the changes were not all noted");
  switch (meeting.relation) {
    case Relation::Same:
    case Relation::PeerIsBase: break;
    case Relation::BothNew:
    case Relation::PeerIsOlder:
    case Relation::MineIsOlder:
    case Relation::Diverged:
    case Relation::Unrelated: return full("the changes since the peer's state were not noted");
  }
  // An interrupted copying of zones: what it left half done is in the zone map still, unless that is another one.
  if (meeting.peer_inconsistent && meeting.zones_empty) return full("the last synchronisation of the peer did not end");
  if (meeting.zones_empty) return Decision{ResyncMode::None, false, "nothing was changed"};
  return Decision{ResyncMode::Zones, false, "the changes are known"};
}

}  // namespace safekit::resync
