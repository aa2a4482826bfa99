#include "controllers/role/start.h"

#include <gtest/gtest.h>

namespace safekit::role {
namespace {

constexpr std::array kCopies{Copy::Unknown, Copy::UpToDate,     Copy::Undetermined, Copy::Stale,
                             Copy::New,     Copy::NewWithData, Copy::Inconsistent};
constexpr std::array kPlaces{PeerPlace::Undetermined, PeerPlace::Silent,  PeerPlace::Stopped,  PeerPlace::Waiting,
                             PeerPlace::Blocked,      PeerPlace::Serving, PeerPlace::Secondary};
constexpr std::array kIntents{Intent::Automatic, Intent::Prim, Intent::Second};

template <class F>
void for_every_input(F check) {
  for (const Intent intent : kIntents) {
    for (const Copy local : kCopies) {
      for (const Copy remote : kCopies) {
        for (const PeerPlace peer : kPlaces) {
          for (const bool wants : {false, true}) {
            for (const bool preferred : {false, true}) {
              for (const bool same : {false, true}) {
                for (const bool forced : {false, true}) check(StartInput{intent, local, remote, peer, wants, preferred, same, forced});
              }
            }
          }
        }
      }
    }
  }
}

std::string text_of(const StartInput& in) {
  return fmt::format("intent {} local {} remote {} peer {} wants {} preferred {} same {} forced {}", int(in.intent), int(in.local),
                     int(in.remote), int(in.peer), in.peer_wants_primary, in.local_preferred, in.same_generation, in.forced_up_to_date);
}

StartOutcome automatic(Copy local, Copy remote, PeerPlace peer, bool preferred = false) {
  return decide_start({.local = local, .remote = remote, .peer = peer, .local_preferred = preferred});
}

}  // namespace

TEST(StartTable, NeverStartsAloneOnACopyInDoubtWithoutAskingThePeer) {
  for_every_input([](const StartInput& in) {
    if (in.intent != Intent::Automatic || decide_start(in) != StartOutcome::BecomeAlone) return;
    const bool beyond_doubt = in.local == Copy::UpToDate;
    const bool peer_was_asked = in.peer == PeerPlace::Waiting || in.peer == PeerPlace::Blocked;
    const bool told_to = in.peer == PeerPlace::Silent && in.forced_up_to_date;
    EXPECT_TRUE(beyond_doubt || peer_was_asked || told_to) << text_of(in);
    const bool marked_alike = in.local == Copy::Stale && in.remote == Copy::Stale && in.same_generation;
    EXPECT_FALSE((in.local == Copy::Stale && !marked_alike && !told_to) || in.local == Copy::Inconsistent || in.local == Copy::Unknown) << text_of(in);
  });
}

TEST(StartTable, NeverStartsBothOfTwoWaitingNodes) {
  for_every_input([](const StartInput& in) {
    if (in.intent != Intent::Automatic || in.peer != PeerPlace::Waiting || in.peer_wants_primary) return;
    StartInput other = in;
    std::swap(other.local, other.remote);
    other.local_preferred = !in.local_preferred;
    const bool both = decide_start(in) == StartOutcome::BecomeAlone && decide_start(other) == StartOutcome::BecomeAlone;
    EXPECT_FALSE(both) << text_of(in);
  });
}

TEST(StartTable, FollowsAServingPeerWhateverTheLocalMarkSays) {
  for (const Copy local : kCopies) {
    const auto expected = local == Copy::Unknown       ? StartOutcome::Hold
                          : local == Copy::NewWithData ? StartOutcome::WaitForConsent
                                                       : StartOutcome::BecomeSecond;
    EXPECT_EQ(automatic(local, Copy::UpToDate, PeerPlace::Serving), expected);
  }
}

TEST(StartTable, NeverReplacesUnsynchronisedDataWithoutConsent) {
  for_every_input([](const StartInput& in) {
    const bool in_danger = in.local == Copy::NewWithData || in.local == Copy::Unknown;
    if (in_danger) {
      EXPECT_NE(decide_start(in), StartOutcome::BecomeSecond) << text_of(in);
    }
  });
  StartInput asked{.intent = Intent::Second, .local = Copy::NewWithData, .peer = PeerPlace::Serving};
  EXPECT_EQ(decide_start(asked), StartOutcome::WaitForConsent);
  asked.may_replace_data = true;
  EXPECT_EQ(decide_start(asked), StartOutcome::BecomeSecond);
}

TEST(StartTable, KnowsTheHistoriesOfTheReference) {
  // spec/runtime.md 1.6: peer absent.
  EXPECT_EQ(automatic(Copy::UpToDate, Copy::Unknown, PeerPlace::Silent), StartOutcome::BecomeAlone);
  EXPECT_EQ(automatic(Copy::Stale, Copy::Unknown, PeerPlace::Silent), StartOutcome::WaitForData);
  EXPECT_EQ(automatic(Copy::Undetermined, Copy::Unknown, PeerPlace::Silent), StartOutcome::WaitForData);
  EXPECT_EQ(automatic(Copy::UpToDate, Copy::Unknown, PeerPlace::Undetermined), StartOutcome::Hold);
  // Both in WAIT: only one is up to date.
  EXPECT_EQ(automatic(Copy::UpToDate, Copy::Stale, PeerPlace::Waiting), StartOutcome::BecomeAlone);
  EXPECT_EQ(automatic(Copy::Stale, Copy::UpToDate, PeerPlace::Waiting), StartOutcome::Hold);
  // Double power loss: the former PRIM is primary again.
  EXPECT_EQ(automatic(Copy::Undetermined, Copy::Undetermined, PeerPlace::Waiting, true), StartOutcome::BecomeAlone);
  EXPECT_EQ(automatic(Copy::Undetermined, Copy::Undetermined, PeerPlace::Waiting, false), StartOutcome::Hold);
  // First start (design.md 11).
  EXPECT_EQ(automatic(Copy::NewWithData, Copy::New, PeerPlace::Waiting), StartOutcome::BecomeAlone);
  EXPECT_EQ(automatic(Copy::New, Copy::NewWithData, PeerPlace::Waiting), StartOutcome::Hold);
  EXPECT_EQ(automatic(Copy::New, Copy::New, PeerPlace::Waiting, true), StartOutcome::BecomeAlone);
  EXPECT_EQ(automatic(Copy::NewWithData, Copy::NewWithData, PeerPlace::Waiting, true), StartOutcome::WaitForChoice);
  EXPECT_EQ(automatic(Copy::New, Copy::Unknown, PeerPlace::Silent), StartOutcome::WaitForData);
}

TEST(StartTable, TwoCopiesMarkedByTwoStopsStartAgainWhenNothingIsBetweenThem) {
  StartInput in{.local = Copy::Stale, .remote = Copy::Stale, .peer = PeerPlace::Waiting, .same_generation = true};
  EXPECT_EQ(decide_start(in), StartOutcome::Hold);
  in.local_preferred = true;
  EXPECT_EQ(decide_start(in), StartOutcome::BecomeAlone);
  in.peer = PeerPlace::Silent;
  EXPECT_EQ(decide_start(in), StartOutcome::WaitForData) << "the other copy was not asked";
  in.peer = PeerPlace::Waiting;
  in.remote = Copy::Inconsistent;
  EXPECT_EQ(decide_start(in), StartOutcome::WaitForData);
}

TEST(StartTable, SyncDeltaLetsAnOldCopyStartInSilenceAndNowhereElse) {
  for_every_input([](StartInput in) {
    if (!in.forced_up_to_date) return;
    const StartOutcome forced = decide_start(in);
    in.forced_up_to_date = false;
    const StartOutcome strict = decide_start(in);
    const bool old = in.local == Copy::Undetermined || in.local == Copy::Stale;
    const bool differs = in.intent == Intent::Automatic && in.peer == PeerPlace::Silent && old;
    EXPECT_EQ(forced, differs ? StartOutcome::BecomeAlone : strict) << text_of(in);
    if (differs) {
      EXPECT_EQ(strict, StartOutcome::WaitForData) << text_of(in);
    }
  });
}

TEST(StartTable, PrimOverridesDoubtButNotInconsistencyOrAPrimary) {
  const auto prim = [](Copy local, PeerPlace peer) {
    return decide_start({.intent = Intent::Prim, .local = local, .peer = peer});
  };
  EXPECT_EQ(prim(Copy::Stale, PeerPlace::Silent), StartOutcome::BecomeAlone);
  EXPECT_EQ(prim(Copy::New, PeerPlace::Stopped), StartOutcome::BecomeAlone);
  EXPECT_EQ(prim(Copy::Inconsistent, PeerPlace::Silent), StartOutcome::AbortInconsistent);
  StartInput kept{.intent = Intent::Prim, .local = Copy::Inconsistent, .peer = PeerPlace::Silent, .local_restorable = true};
  EXPECT_EQ(decide_start(kept), StartOutcome::BecomeAlone) << "the last consistent copy comes back";
  kept.local_restorable = false;
  EXPECT_EQ(decide_start(kept), StartOutcome::AbortInconsistent);
  kept.intent = Intent::PrimForce;
  EXPECT_EQ(decide_start(kept), StartOutcome::BecomeAlone) << "a person takes it as it is";
  kept.peer = PeerPlace::Serving;
  EXPECT_EQ(decide_start(kept), StartOutcome::AbortPrimary) << "that is no word about the other node";
  kept.peer = PeerPlace::Silent;
  kept.intent = Intent::Automatic;
  EXPECT_EQ(decide_start(kept), StartOutcome::WaitForData) << "but not unasked";
  EXPECT_EQ(prim(Copy::UpToDate, PeerPlace::Serving), StartOutcome::AbortPrimary);
  EXPECT_EQ(prim(Copy::UpToDate, PeerPlace::Undetermined), StartOutcome::Hold);
}

TEST(StartTable, SecondNeedsAPrimary) {
  const auto second = [](PeerPlace peer) { return decide_start({.intent = Intent::Second, .local = Copy::Stale, .peer = peer}); };
  EXPECT_EQ(second(PeerPlace::Serving), StartOutcome::BecomeSecond);
  EXPECT_EQ(second(PeerPlace::Waiting), StartOutcome::Hold);
  EXPECT_EQ(second(PeerPlace::Silent), StartOutcome::AbortSecond);
  const StartInput first_of_equals{
      .intent = Intent::Second, .local = Copy::New, .remote = Copy::New, .peer = PeerPlace::Waiting, .local_preferred = true};
  EXPECT_EQ(decide_start(first_of_equals), StartOutcome::AbortSecond) << "the other node waits for this one to go first";
}

}  // namespace safekit::role
