#include "datapath/resync/plan.h"

namespace safekit::resync {

using journal::Relation;
using wire::ResyncMode;

bool are_logged(const Logs& primary, const Logs& secondary) {
  return reaches(primary.own, secondary.base) || (primary.own.id != 0 && reaches(secondary.own, primary.base));
}

Decision choose(const Meeting& meeting) {
  const bool diverged = meeting.relation == Relation::Diverged || meeting.relation == Relation::Unrelated ||
                        meeting.relation == Relation::MineIsOlder;
  const auto full = [&](std::string reason) { return Decision{.diverged = diverged, .reason = std::move(reason)}; };
  if (meeting.since != 0 && !meeting.full_wanted) {
    return {.mode = ResyncMode::Chosen, .diverged = diverged, .since = meeting.since, .reason = "files changed since the given date"};
  }
  if (diverged) return full("both copies were written");
  if (meeting.peer_inconsistent && !meeting.peer_exact && !meeting.logged) {
    return full("the last synchronisation of the peer did not end");
  }
  if (!meeting.same_partner) return full("first synchronisation of these two nodes");
  if (meeting.full_wanted) return full("asked for");
  if (!meeting.peer_exact && !meeting.logged) return full("the peer was not left in order");
  if (!meeting.zones_complete && !meeting.logged) return full("the changes were not all noted");
  if (!meeting.outside_known) return full("what was changed while a node was stopped is not known");
  if (meeting.restored && meeting.peer_exact && meeting.zones_complete) {
    return {.mode = ResyncMode::Chosen, .reason = "the changes since the backup are known"};
  }
  if (meeting.restored) return full("the changes since the backup were not all noted");
  switch (meeting.relation) {
    case Relation::Same:
    case Relation::PeerIsBase: break;
    case Relation::BothNew:
    case Relation::PeerIsOlder:
    case Relation::MineIsOlder:
    case Relation::Diverged:
    case Relation::Unrelated: return full("the changes since the peer's state were not noted");
  }
  // Zones say more precisely what differs; the logs are for when one side was not left in order.
  const bool by_logs = !meeting.peer_exact || !meeting.zones_complete;
  const bool empty = by_logs ? meeting.logs_empty : meeting.zones_empty;
  // An interrupted copying of zones: what it left half done is in the zone map still, unless that is another one.
  if (meeting.peer_inconsistent && empty) return full("the last synchronisation of the peer did not end");
  if (empty) return {.mode = ResyncMode::None, .by_logs = by_logs, .reason = "nothing was changed"};
  return {.mode = ResyncMode::Zones,
          .by_logs = by_logs,
          .reason = by_logs ? "what was touched since the last checkpoint is known" : "the changes are known"};
}

}  // namespace safekit::resync
