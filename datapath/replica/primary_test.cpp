// The primary against a peer that is played: what calls wait for, and for how long; what is compared.
#include <fstream>

#include "datapath/replica/primary_fixture.h"

namespace safekit::replica {
namespace {

using PrimaryTest = PrimaryFixture;

TEST_F(PrimaryTest, AnFsyncWaitsForTheDiskOfThePeer) {
  begin();
  auto call = sync();
  expect_returns(call);
}

TEST_F(PrimaryTest, ACloseDoesNotWaitUntilThePeerHasAppliedWhatItHas) {
  begin();
  peer_.applies_late = true;
  auto close = change();
  expect_returns(close);
  EXPECT_EQ(peer_.confirmed, 1);
  auto fsync = sync();
  expect_returns(fsync);
  EXPECT_EQ(peer_.confirmed, 1) << "an fsync waits for more";
}

TEST_F(PrimaryTest, WhatThePeerHadButDidNotApplyIsSentAgain) {
  begin();
  peer_.applies_late = true;
  auto close = change();
  expect_returns(close);
  clock_.advance(seconds{11});  // the peer applies nothing, and is lost
  EXPECT_TRUE(becomes([&] { return peer_.zone_comparisons == 1; }));
}

TEST_F(PrimaryTest, APeerOfAnEarlierReleaseIsNotAskedWhatItHas) {
  peer_.protocol = wire::kFirstWithReceipts - 1;
  begin();
  auto close = change();
  expect_returns(close);
  EXPECT_EQ(peer_.confirmed, 0);
}

TEST_F(PrimaryTest, WhileTheJournalCannotBeWrittenNothingIsChangedOrPromised) {
  source_.let(false);
  keep_log();
  primary_->start();
  std::filesystem::remove(directory_ + "/state/journal.new");
  std::filesystem::create_directory(directory_ + "/state/journal.new");
  primary_->allow_alone(true);
  const auto change = [this] { return ChangeScope::begin(*primary_, {{.what = Change::What::Names, .id = {1}}}); };
  SequenceNumber written{};
  {
    const auto scope = change();
    ASSERT_TRUE(scope) << "nothing has failed yet";
    written = primary_->append(wire::Operation{wire::Write{InodeId{1}, 0, 3}}, as_bytes("abc"));
  }
  EXPECT_EQ(primary_->wait(written, Acknowledged::Received).error().code, Code::Fenced);
  EXPECT_EQ(change().error().code, Code::Fenced);
  EXPECT_TRUE(primary_->status().fenced);
  EXPECT_NE(primary_->status().problem.find("journal"), std::string::npos) << primary_->status().problem;
  std::filesystem::remove(directory_ + "/state/journal.new");
  ASSERT_TRUE(becomes([&] { return !primary_->status().fenced; }));
  EXPECT_TRUE(primary_->status().problem.empty());
  EXPECT_EQ(journal_->state().generations.base, DataGeneration{7}) << "what was written without the peer is noted";
  EXPECT_TRUE(change());
  EXPECT_TRUE(primary_->wait(written, Acknowledged::Received));
}

TEST_F(PrimaryTest, ZonesThatFindNoRoomOnlyCostAComparison) {
  source_.let(false);
  primary_->start();
  std::filesystem::create_directory(directory_ + "/state/zones.new");
  EXPECT_TRUE(primary_->stop());
  EXPECT_FALSE(journal_->state().exact);
}

TEST_F(PrimaryTest, ABackupBeginsOnlyWithoutThePeerAndForgetsWhatWasBefore) {
  const resync::Backup backup{.uid = "nov28", .peer = "b"};
  source_.let(false);
  primary_->start();
  EXPECT_EQ(primary_->begin_backup(backup).error().code, Code::Conflict) << "the peer may be about to return";
  primary_->allow_alone(true);
  (void)primary_->append(wire::Operation{wire::Write{InodeId{1}, 0, 3}}, as_bytes("abc"));
  EXPECT_EQ(primary_->status().zones_dirty, 1U);
  ASSERT_TRUE(primary_->begin_backup(backup));
  EXPECT_EQ(primary_->status().zones_dirty, 0U);
  EXPECT_EQ(journal_->state().generations.base, resync::generation_of("nov28"));
  (void)primary_->append(wire::Operation{wire::Write{InodeId{1}, 0, 3}}, as_bytes("abc"));
  EXPECT_EQ(primary_->status().zones_dirty, 1U);
  EXPECT_EQ(primary_->begin_backup(backup).error().code, Code::Conflict) << "each needs a uid of its own";
  ASSERT_TRUE(primary_->stop());
  EXPECT_EQ(journal_->state().backup, "nov28");
  EXPECT_TRUE(journal_->state().exact);
  const auto kept = journal_->take_zones();
  ASSERT_TRUE(kept && kept->has_value());
  EXPECT_EQ((*kept)->zone_count(), 1U) << "an orderly stop keeps what was changed since";
}

TEST_F(PrimaryTest, APeerWhoseDiskAloneHangsIsLostAfterTheLockTimeout) {
  begin();
  peer_.disk_hangs = true;
  auto call = sync();
  ASSERT_TRUE(becomes([&] { return peer_.syncs == 1; }));
  source_.let(false);
  clock_.advance(seconds{9});
  EXPECT_EQ(call.wait_for(std::chrono::milliseconds{300}), std::future_status::timeout);
  EXPECT_TRUE(primary_->status().peer_synchronised);
  clock_.advance(seconds{2});
  EXPECT_TRUE(logged("the peer's disk does not answer"));
  EXPECT_TRUE(becomes([&] { return primary_->status().waiting_for_alone; }));
  primary_->allow_alone(true);
  expect_returns(call);
}

TEST_F(PrimaryTest, AnFsyncThatTheOldConnectionDidNotAnswerReturnsOnTheNextOne) {
  begin();
  peer_.disk_hangs = true;
  auto call = sync();
  ASSERT_TRUE(becomes([&] { return peer_.syncs == 1; }));
  clock_.advance(seconds{11});  // lost; the next connection finds nothing else to synchronise
  ASSERT_TRUE(becomes([&] { return peer_.connections == 2; }));
  expect_returns(call);
  EXPECT_TRUE(becomes([&] { return primary_->status().peer_synchronised; }));
}

TEST_F(PrimaryTest, WhoSendsForAllGetsTheMutexBackWhileMuchMoreIsQueued) {
  begin();
  peer_.takes_nothing = true;
  std::promise<void> appended;
  auto call = std::async(std::launch::async, [&] {
    const auto sequence = primary_->append(wire::Operation{wire::Sync{InodeId{1}, false}}, {});
    appended.set_value();
    return primary_->wait(sequence, Acknowledged::Durable);
  });
  ASSERT_TRUE(becomes([&] { return peer_.writers == 1; }));
  const Bytes much(200'000);
  (void)primary_->append(wire::Operation{wire::Write{InodeId{1}, 0, 200'000}}, much);
  // The sender thread has been woken for it; it must wait for the one that sends.
  EXPECT_EQ(appended.get_future().wait_for(std::chrono::milliseconds{100}), std::future_status::timeout);
  peer_.takes_nothing = false;
  peer_.takes_nothing.notify_all();
  expect_returns(call);
}

TEST_F(PrimaryTest, ASynchronisationWithoutAnswersEndsAndIsBegunAgain) {
  peer_.wants_all = true;
  primary_->start();
  EXPECT_TRUE(logged("the peer answers no request"));
  EXPECT_TRUE(becomes([&] { return peer_.connections >= 2; }));
  peer_.wants_all = false;
  EXPECT_TRUE(becomes([&] { return primary_->status().peer_synchronised; }));
}

TEST_F(PrimaryTest, APeerThatAnswersWhatItWasNotAskedIsLeft) {
  peer_.wants_all = peer_.answers_unasked = true;
  primary_->start();
  EXPECT_TRUE(logged("answers what it was not asked"));
  EXPECT_TRUE(becomes([&] { return peer_.connections >= 2; }));
  peer_.wants_all = false;
  EXPECT_TRUE(becomes([&] { return primary_->status().peer_synchronised; }));
}

TEST_F(PrimaryTest, APermissionForAnEarlierPairingIsNone) {
  const std::uint64_t first = primary_->status().pairing;
  EXPECT_NE(first, 0U);
  begin();
  const std::uint64_t second = primary_->status().pairing;
  EXPECT_NE(second, first);
  peer_.disk_hangs = true;
  auto call = sync();
  ASSERT_TRUE(becomes([&] { return peer_.syncs == 1; }));
  source_.let(false);
  clock_.advance(seconds{11});
  ASSERT_TRUE(becomes([&] { return primary_->status().waiting_for_alone; }));
  // It was on its way when the synchronisation ended: the peer may be the newest since.
  primary_->allow_alone(true, first);
  EXPECT_TRUE(primary_->status().waiting_for_alone);
  primary_->allow_alone(true, second);
  EXPECT_FALSE(primary_->status().waiting_for_alone);
  expect_returns(call);
}

TEST_F(PrimaryTest, ACallWhosePeerIsLostWhileTheRoleIsLeftEndsWithAnErrorAtOnce) {
  begin();
  peer_.disk_hangs = true;
  auto call = sync();
  ASSERT_TRUE(becomes([&] { return peer_.syncs == 1; }));
  primary_->leave();
  EXPECT_EQ(call.wait_for(std::chrono::milliseconds{100}), std::future_status::timeout);  // the peer may answer still
  source_.let(false);
  clock_.advance(seconds{11});
  ASSERT_EQ(call.wait_for(kSoon), std::future_status::ready);
  const Status ended = call.get();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Code::Fenced);
  // Nor does time give what the control plane did not.
  auto later = sync();
  clock_.advance(seconds{60});
  ASSERT_EQ(later.wait_for(kSoon), std::future_status::ready);
  EXPECT_FALSE(later.get());
}

TEST_F(PrimaryTest, WhatAnEarlierProcessDidIsWaitedForUntilThePeerKnowsOfTheComparison) {
  source_.let(false);
  std::vector<bool> noted;
  primary_->prepare(*inodes_, std::nullopt, {},
                    {.taken_over = true, .unconfirmed = true, .note_alone = [&](bool alone) { noted.push_back(alone); }});
  EXPECT_FALSE(primary_->status().waiting_for_alone);  // the peer has not been lost
  auto close = std::async(std::launch::async, [&] { return primary_->wait(kBeforeTakeOver, Acknowledged::Received); });
  auto call = sync();
  EXPECT_EQ(close.wait_for(std::chrono::milliseconds{50}), std::future_status::timeout);
  clock_.advance(seconds{2});
  EXPECT_TRUE(primary_->status().waiting_for_alone);  // now it has
  peer_.wants_all = true;  // the synchronisation does not end before the test
  source_.let(true);
  primary_->start();
  expect_returns(close);
  expect_returns(call);  // the peer has noted that it is out of date
  EXPECT_GE(peer_.full_comparisons, 1);
  (void)primary_->stop();
  EXPECT_EQ(noted, (std::vector<bool>{false, true}));
}

TEST_F(PrimaryTest, WhoWasAloneGoesOnAloneAfterATakeOver) {
  source_.let(false);
  primary_->prepare(*inodes_, std::nullopt, {}, {.taken_over = true, .was_alone = true, .unconfirmed = true});
  auto call = sync();
  expect_returns(call);
  EXPECT_TRUE(primary_->wait(kBeforeTakeOver, Acknowledged::Received));
  EXPECT_EQ(journal_->state().generations.base, DataGeneration{7});
}

TEST_F(PrimaryTest, AfterAnOrderlyHandOverNothingIsCompared) {
  std::vector<bool> noted;
  primary_->prepare(*inodes_, journal::ZoneMap{Settings{}.zone_bytes}, {},
                    {.taken_over = true, .was_alone = true, .note_alone = [&](bool alone) { noted.push_back(alone); }});
  begin();
  // From before the end of the synchronisation on, the next process must not go on alone by itself.
  EXPECT_FALSE(noted.back());
  EXPECT_EQ(peer_.full_comparisons, 0);
  auto call = sync();
  expect_returns(call);
}

TEST_F(PrimaryTest, AnOperationOnAnInodeThatIsGoneIsDropped) {
  begin();
  EXPECT_EQ(primary_->append(wire::Operation{wire::SetXattr{.id = OneRoot::kGone, .name = "user.x"}}, {}), SequenceNumber{0});
  EXPECT_TRUE(primary_->status().peer_synchronised);
  EXPECT_EQ(peer_.connections, 1);
}

TEST_F(PrimaryTest, AnInodeThatCannotBeNamedLosesTheLinkAndAllIsCompared) {
  begin();
  EXPECT_EQ(peer_.full_comparisons, 0);
  EXPECT_NE(primary_->append(wire::Operation{wire::SetXattr{.id = OneRoot::kUnsearchable, .name = "user.x"}}, {}),
            SequenceNumber{0});
  EXPECT_TRUE(logged("an inode could not be named"));
  EXPECT_TRUE(becomes([&] { return peer_.full_comparisons == 1; }));
  EXPECT_EQ(peer_.connections, 2);
}

TEST_F(PrimaryTest, WhatFailedInItsMiddleIsCompared) {
  begin();
  primary_->doubt({.what = Change::What::Tail, .id = {1}});
  EXPECT_TRUE(logged("may have been made in part"));
  EXPECT_TRUE(becomes([&] { return peer_.connections == 2 && primary_->status().peer_synchronised; }));
  EXPECT_EQ(peer_.zone_comparisons, 1);
  EXPECT_EQ(peer_.full_comparisons, 0);
}

TEST_F(PrimaryTest, APeerThatCrashedIsSentWhatTheLogNames) {
  keep_log();
  peer_.crashed_at = 1;
  begin();
  EXPECT_EQ(peer_.zone_comparisons, 1);
  EXPECT_EQ(peer_.full_comparisons, 0);
}

TEST_F(PrimaryTest, APeerFromBeforeTheLogIsComparedInFull) {
  ASSERT_TRUE(journal_->update([](journal::State& state) { state.own_log = {5, 1}; }));
  keep_log();  // that log is missing: a new one is begun
  peer_.crashed_at = 0;
  begin();
  EXPECT_EQ(peer_.full_comparisons, 1);
}

TEST_F(PrimaryTest, TheLogIsEmptiedByACheckpointOfBothNodes) {
  keep_log();
  peer_.crashed_at = 1;
  EXPECT_EQ(journal_->state().own_log.checkpoint, 1U);
  begin();
  EXPECT_TRUE(becomes([&] { return journal_->state().own_log.checkpoint == 2; }));
  EXPECT_TRUE(logged("checkpoint=2 entries=0"));
}

/// Lost with this node, they would be of an inode that no log names.
TEST_F(PrimaryTest, TimesThatAreDueAreNotedAfterACheckpoint) {
  keep_log();
  peer_.crashed_at = 1;
  inodes_->times = [this] {
    const auto scope = ChangeScope::begin(*primary_, {{.what = Change::What::Attributes, .id = {1}}});
    EXPECT_TRUE(scope);
    primary_->append(wire::Operation{wire::SetAttributes{.id = {1}, .mask = wire::SetAttributes::kMtime}}, {});
  };
  begin();
  EXPECT_TRUE(logged("checkpoint=2 entries=1"));
}

TEST_F(PrimaryTest, ASynchronisationWhoseEndCannotBeNotedIsTriedAgain) {
  keep_log();
  peer_.crashed_at = 1;
  peer_.at_end = [this] {
    const bool first = peer_.connections == 1;
    std::filesystem::rename(directory_ + (first ? "/state" : "/away"), directory_ + (first ? "/away" : "/state"));
  };
  begin();
  EXPECT_EQ(peer_.connections, 2);
  EXPECT_TRUE(becomes([&] { return journal_->state().own_log.checkpoint == 2; })) << "the state is on the disk again";
}

TEST_F(PrimaryTest, WhatOthersChangedIsCompared) {
  const std::int64_t since = linux_os::next_file_moment().now;
  std::ofstream{directory_ + "/data/new"} << "x";
  expect_changes({.look = resync::Scope::Look::Changed, .since = since});
  (void)linux_os::next_file_moment();  // what is noted at the end is a later tick
  begin();
  EXPECT_EQ(peer_.zone_comparisons, 1);
  EXPECT_EQ(peer_.full_comparisons, 0);
  EXPECT_TRUE(logged("changed-while-stopped=2 looked-at=1 "));
  EXPECT_FALSE(journal_->state().watched.unsettled);
  EXPECT_GT(journal_->state().watched.until, since);
}

TEST_F(PrimaryTest, WhatNobodyChangedIsNotCompared) {
  std::ofstream{directory_ + "/data/old"} << "x";
  expect_changes({.look = resync::Scope::Look::Changed, .since = linux_os::next_file_moment().now});
  begin();
  EXPECT_EQ(peer_.zone_comparisons + peer_.full_comparisons, 0);
  EXPECT_TRUE(logged("changed-while-stopped=0 looked-at=1 "));
  EXPECT_FALSE(journal_->state().watched.unsettled);
}

TEST_F(PrimaryTest, WhatCannotBeToldIsComparedInFull) {
  expect_changes({.look = resync::Scope::Look::Everywhere, .why = "the clock was set back"});
  begin();
  EXPECT_EQ(peer_.full_comparisons, 1);
  EXPECT_TRUE(logged("reason='the clock was set back'"));
}

TEST_F(PrimaryTest, WhatOthersChangedOnThePeerIsCompared) {
  peer_.outside = wire::Outside::Listed;
  begin();
  EXPECT_EQ(peer_.zone_comparisons, 1);
  EXPECT_EQ(peer_.full_comparisons, 0);
}

TEST_F(PrimaryTest, WhatThePeerCannotTellIsComparedInFull) {
  peer_.outside = wire::Outside::Unknown;
  begin();
  EXPECT_EQ(peer_.full_comparisons, 1);
}

TEST_F(PrimaryTest, APeerThatSaysNothingIsNotWaitedForAtTheEnd) {
  begin();
  peer_.is_silent = true;
  clock_.advance(seconds{10});
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(primary_->stop());
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds{5});
}

TEST_F(PrimaryTest, WhatIsKnownOnlyByTheZoneMapIsOfANewGeneration) {
  source_.let(false);
  const std::int64_t since = linux_os::next_file_moment().now;
  std::ofstream{directory_ + "/data/new"} << "x";
  expect_changes({.look = resync::Scope::Look::Changed, .since = since});
  primary_->start();
  ASSERT_TRUE(becomes([&] { return source_.asked > 0; }));  // all is marked before
  ASSERT_TRUE(primary_->stop());
  const journal::State state = journal_->state();
  EXPECT_NE(state.generations.current, DataGeneration{7});
  EXPECT_EQ(state.generations.base, DataGeneration{7});
  EXPECT_TRUE(state.exact);
  EXPECT_FALSE(state.watched.unsettled);
  const auto zones = journal_->see_zones();
  ASSERT_TRUE(zones);
  EXPECT_EQ(zones->inodes().size(), 2U);
}

}  // namespace
}  // namespace safekit::replica
