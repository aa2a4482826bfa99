// The primary against a peer that is played: what others changed while a copy was stopped.
#include <fstream>

#include "datapath/replica/played_peer.h"

namespace safekit::replica {
namespace {

class PrimaryOutside : public PrimaryTest {
 protected:
  /// As at a start; what was changed since is somebody else's.
  void expect_changes(resync::Scope scope) {
    std::vector<Fd> roots;
    roots.emplace_back(::open((directory_ + "/data").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(journal_->update([](journal::State& state) { state.watched.unsettled = true; }));
    primary_->expect(std::make_shared<OutsideChanges>(
        OutsideChanges::Options{.roots = std::move(roots), .scope = std::move(scope), .left = true}, clock_, log_));
  }
};

TEST_F(PrimaryOutside, WhatOthersChangedIsCompared) {
  const std::int64_t since = linux_os::next_file_moment().now;
  std::ofstream{directory_ + "/data/new"} << "x";
  expect_changes({.look = resync::Scope::Look::Changed, .since = since});
  begin();
  EXPECT_EQ(peer_.zone_comparisons, 1);
  EXPECT_EQ(peer_.full_comparisons, 0);
  EXPECT_TRUE(logged("changed-while-stopped=2 looked-at=1 "));
  EXPECT_FALSE(journal_->state().watched.unsettled);
  EXPECT_GT(journal_->state().watched.until, since);
}

TEST_F(PrimaryOutside, WhatNobodyChangedIsNotCompared) {
  std::ofstream{directory_ + "/data/old"} << "x";
  expect_changes({.look = resync::Scope::Look::Changed, .since = linux_os::next_file_moment().now});
  begin();
  EXPECT_EQ(peer_.zone_comparisons + peer_.full_comparisons, 0);
  EXPECT_TRUE(logged("changed-while-stopped=0 looked-at=1 "));
  EXPECT_FALSE(journal_->state().watched.unsettled);
}

TEST_F(PrimaryOutside, WhatCannotBeToldIsComparedInFull) {
  expect_changes({.look = resync::Scope::Look::Everywhere, .why = "the clock was set back"});
  begin();
  EXPECT_EQ(peer_.full_comparisons, 1);
  EXPECT_TRUE(logged("reason='the clock was set back'"));
}

TEST_F(PrimaryOutside, WhatOthersChangedOnThePeerIsCompared) {
  peer_.outside = wire::Outside::Listed;
  begin();
  EXPECT_EQ(peer_.zone_comparisons, 1);
  EXPECT_EQ(peer_.full_comparisons, 0);
}

TEST_F(PrimaryOutside, WhatThePeerCannotTellIsComparedInFull) {
  peer_.outside = wire::Outside::Unknown;
  begin();
  EXPECT_EQ(peer_.full_comparisons, 1);
}

TEST_F(PrimaryOutside, WhatIsKnownOnlyByTheZoneMapIsOfANewGeneration) {
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
