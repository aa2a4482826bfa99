#include "datapath/resync/plan.h"

#include <gtest/gtest.h>

namespace safekit::resync {
namespace {

using journal::Relation;
using wire::ResyncMode;

// Every combination: the three ways are allowed only where they are safe.
TEST(ResyncPlan, ShortcutsOnlyWhenEverythingIsKnown) {
  for (int relation = 0; relation <= static_cast<int>(Relation::Unrelated); ++relation) {
    for (unsigned bits = 0; bits < 4096; ++bits) {
      const Meeting meeting{.relation = static_cast<Relation>(relation),
                            .peer_exact = (bits & 1) != 0,
                            .peer_inconsistent = (bits & 2) != 0,
                            .peer_up_to_date = (bits & 4) != 0,
                            .zones_complete = (bits & 8) != 0,
                            .zones_empty = (bits & 16) != 0,
                            .logged = (bits & 128) != 0,
                            .logs_empty = (bits & 256) != 0,
                            .outside_known = (bits & 512) == 0,
                            .full_wanted = (bits & 32) != 0,
                            .restored = (bits & 1024) != 0,
                            .since = (bits & 2048) != 0 ? 77 : 0,
                            .same_partner = (bits & 64) != 0};
      const Decision decision = choose(meeting);
      EXPECT_FALSE(decision.reason.empty());
      if (meeting.since != 0 && !meeting.full_wanted) {
        EXPECT_EQ(decision.mode, ResyncMode::Chosen);
        EXPECT_EQ(decision.since, 77);
        continue;
      }
      EXPECT_EQ(decision.since, 0);
      if (meeting.restored) {
        const bool apart = meeting.relation == Relation::Diverged || meeting.relation == Relation::Unrelated ||
                           meeting.relation == Relation::MineIsOlder;
        const bool chosen = meeting.peer_exact && meeting.zones_complete && meeting.same_partner && !meeting.full_wanted &&
                            meeting.outside_known && !apart;
        EXPECT_EQ(decision.mode, chosen ? ResyncMode::Chosen : ResyncMode::Full);
        continue;
      }
      const bool by_zones = meeting.peer_exact && meeting.zones_complete;
      const bool empty = by_zones ? meeting.zones_empty : meeting.logs_empty;
      const bool known = (by_zones || meeting.logged) && !(meeting.peer_inconsistent && empty) &&
                         !meeting.full_wanted && meeting.same_partner && meeting.outside_known &&
                         (meeting.relation == Relation::Same || meeting.relation == Relation::PeerIsBase);
      EXPECT_EQ(decision.mode != ResyncMode::Full, known);
      EXPECT_EQ(decision.mode == ResyncMode::None, known && empty);
      EXPECT_EQ(decision.by_logs, known && !by_zones);
      EXPECT_EQ(decision.diverged, meeting.relation == Relation::Diverged || meeting.relation == Relation::Unrelated ||
                                       meeting.relation == Relation::MineIsOlder);
    }
  }
}

// Who was the primary of whom, and what each still has.
TEST(ResyncPlan, TwoCopiesAreLoggedWhenOneLogReachesTheOthersCheckpoint) {
  struct Case {
    const char* label;
    Logs primary;
    Logs secondary;
    bool logged;
  };
  constexpr journal::LogPoint kNone{};
  for (const Case& c : {
           Case{"the secondary crashed", {kNone, {1, 4}}, {{1, 4}, kNone}, true},
           Case{"it noted a checkpoint that the primary has not heard of", {kNone, {1, 4}}, {{1, 5}, kNone}, true},
           Case{"its checkpoint is older than the log", {kNone, {1, 4}}, {{1, 3}, kNone}, false},
           Case{"it followed another log", {kNone, {1, 4}}, {{2, 4}, kNone}, false},
           Case{"the old primary returns with its log", {{1, 4}, {2, 1}}, {kNone, {1, 4}}, true},
           Case{"it returns without", {{1, 4}, {2, 1}}, {kNone, kNone}, false},
           Case{"the new primary gave its own up", {kNone, kNone}, {kNone, {1, 4}}, false},
           Case{"the new primary lost its own only", {{1, 4}, kNone}, {kNone, {1, 4}}, false},
           Case{"the secondary was a primary in between", {kNone, {1, 4}}, {{1, 4}, {2, 1}}, true},
           Case{"nothing is known", {kNone, kNone}, {kNone, kNone}, false},
       }) {
    EXPECT_EQ(are_logged(c.primary, c.secondary), c.logged) << c.label;
  }
}

}  // namespace
}  // namespace safekit::resync
