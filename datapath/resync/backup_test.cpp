#include "datapath/resync/backup.h"

#include <gtest/gtest.h>

#include "datapath/resync/outside.h"

namespace safekit::resync {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
const Backup kBackup{.uid = "nov28", .peer = "b", .chosen = 100 * kSecond, .setting = 5};
constexpr linux_os::FileMoment kNow{.now = 200 * kSecond, .setting = 5};

TEST(BackupPlan, ARestoredCopyIsOneThatWasLeftBehindAtTheBackup) {
  journal::State primary{.generations = {.current = {3}, .base = {2}, .history = {{2}}}, .full_wanted = true};
  ASSERT_TRUE(begin_backup(primary, kBackup, DataGeneration{4}));
  journal::State secondary{.generations = {.current = {8}}, .up_to_date = true, .full_wanted = true};
  declare_restored(secondary, kBackup, kNow, "boot");
  EXPECT_EQ(journal::compare(primary.generations, secondary.generations), journal::Relation::PeerIsBase);
  EXPECT_TRUE(is_restored(primary, secondary.generations.current));
  EXPECT_FALSE(secondary.up_to_date) << "it may lack what was written since";
  EXPECT_TRUE(secondary.inconsistent);
  EXPECT_TRUE(secondary.exact);
  EXPECT_EQ(secondary.exact_in_boot, "boot");
  for (const journal::State& state : {primary, secondary}) {
    EXPECT_FALSE(state.full_wanted);
    EXPECT_EQ(state.backup, "nov28");
  }
  EXPECT_EQ(primary.peer, "b");
  EXPECT_EQ(primary.generations.current, DataGeneration{4});
  EXPECT_NE(generation_of("nov28"), generation_of("nov29"));
}

TEST(BackupPlan, AnotherCopyIsNotTheRestoredOne) {
  journal::State primary{.generations = {.current = {3}}};
  ASSERT_TRUE(begin_backup(primary, kBackup, DataGeneration{4}));
  EXPECT_FALSE(is_restored(primary, DataGeneration{3}));
  EXPECT_FALSE(is_restored(primary, generation_of("nov29")));
  primary.backup.clear();  // it was synchronised meanwhile, or something else was chosen
  EXPECT_FALSE(is_restored(primary, generation_of("nov28")));
}

TEST(BackupPlan, AUidIsUsedOnce) {
  journal::State primary{.generations = {.current = {3}}};
  ASSERT_TRUE(begin_backup(primary, kBackup, DataGeneration{4}));
  const journal::State before = primary;
  const Status again = begin_backup(primary, kBackup, DataGeneration{5});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::Conflict);
  EXPECT_EQ(primary, before);
  journal::end_alone(primary.generations);
  EXPECT_FALSE(begin_backup(primary, kBackup, DataGeneration{5})) << "the history knows it";
}

TEST(BackupPlan, OthersChangesAreLookedForSinceTheChoiceAlsoInANewCopy) {
  journal::State primary{};
  ASSERT_TRUE(begin_backup(primary, kBackup, DataGeneration{4}));
  rest_for_backup(primary, kBackup, kNow, "boot");
  const Scope scope = scope_of(primary, true, kNow, "boot");
  EXPECT_EQ(scope.look, Scope::Look::Changed);
  EXPECT_LT(scope.since, 100 * kSecond);
  EXPECT_GT(scope.since, 99 * kSecond);
  EXPECT_EQ(scope_of(primary, true, {.now = 99 * kSecond, .setting = 5}, "boot").look, Scope::Look::Everywhere);
  Backup blind = kBackup;
  blind.uid = "dec1";
  blind.detects_changes = false;
  ASSERT_TRUE(begin_backup(primary, blind, DataGeneration{6}));
  rest_for_backup(primary, blind, kNow, "boot");
  EXPECT_EQ(scope_of(primary, true, kNow, "boot").since, kNow.now) << "of what is done from the start on";
}

}  // namespace
}  // namespace safekit::resync
