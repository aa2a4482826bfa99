#include "datapath/resync/plan.h"

#include <gtest/gtest.h>

namespace safekit::resync {
namespace {

using journal::Relation;
using wire::ResyncMode;

// Every combination: the three ways are allowed only where they are safe.
TEST(ResyncPlan, ShortcutsOnlyWhenEverythingIsKnown) {
  for (int relation = 0; relation <= static_cast<int>(Relation::Unrelated); ++relation) {
    for (unsigned bits = 0; bits < 128; ++bits) {
      const Meeting meeting{.relation = static_cast<Relation>(relation),
                            .peer_exact = (bits & 1) != 0,
                            .peer_inconsistent = (bits & 2) != 0,
                            .peer_up_to_date = (bits & 4) != 0,
                            .zones_complete = (bits & 8) != 0,
                            .zones_empty = (bits & 16) != 0,
                            .full_wanted = (bits & 32) != 0,
                            .same_partner = (bits & 64) != 0};
      const Decision decision = choose(meeting);
      const bool known = meeting.peer_exact && !(meeting.peer_inconsistent && meeting.zones_empty) &&
                         meeting.zones_complete &&
                         !meeting.full_wanted && meeting.same_partner &&
                         (meeting.relation == Relation::Same || meeting.relation == Relation::PeerIsBase);
      EXPECT_EQ(decision.mode != ResyncMode::Full, known);
      EXPECT_EQ(decision.mode == ResyncMode::None, known && meeting.zones_empty);
      EXPECT_FALSE(decision.reason.empty());
      EXPECT_EQ(decision.diverged, meeting.relation == Relation::Diverged || meeting.relation == Relation::Unrelated ||
                                       meeting.relation == Relation::MineIsOlder);
    }
  }
}

}  // namespace
}  // namespace safekit::resync
