#include "controllers/replication/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::replication {
namespace {

using control::Report;
using control::SyncPolicy;
using Mode = SyncPolicy::Mode;
using status::Role;
using testing::HasSubstr;

Result<Policy> choose(std::string_view argument, Role role) { return choose_policy(argument, role, WallTime{7000}, MonoTime{2000}, 5); }

TEST(SyncPolicyChoice, IsReadAndRefusedWithAReason) {
  EXPECT_EQ(*choose("full", Role::Prim), (Policy{.chosen = {.number = 7000, .mode = Mode::Full, .chosen = 7000, .setting = 5000}}));
  EXPECT_EQ(choose("prim nov28", Role::Stop)->operation, 0U) << "there is nobody to wait for";
  const auto hot = choose("prim nov28 blind", Role::Alone);
  ASSERT_TRUE(hot);
  EXPECT_EQ(hot->operation, 5U);
  EXPECT_EQ(hot->chosen.mode, Mode::BackupPrimary);
  EXPECT_EQ(hot->chosen.uid, "nov28");
  EXPECT_FALSE(hot->chosen.detect);
  const auto date = choose("date 1970-01-01T00:00:00.000006Z", Role::Stop);
  ASSERT_TRUE(date);
  EXPECT_EQ(date->chosen.chosen, 6000);
  struct Case {
    const char* argument;
    Role role;
    const char* why;
  };
  for (const Case& c : {Case{"prim nov28", Role::Prim, "ALONE"}, Case{"prim nov28", Role::Second, "ALONE"},
                        Case{"second nov28", Role::Wait, "stopped"}, Case{"second nov28", Role::Second, "stopped"},
                        Case{"date 2026-11-28T12:00:00.000000Z", Role::Second, "stopped"}, Case{"date tomorrow", Role::Stop, "time"},
                        Case{"date 2026-11-28T12:00:00.000000Z", Role::Stop, "future"},
                        Case{"prim", Role::Stop, "uid"}, Case{"prim a/b", Role::Stop, "uid"},
                        Case{"second 1234567890123456789012345", Role::Stop, "24"}, Case{"sideways", Role::Stop, "no way"}}) {
    const auto refused = choose(c.argument, c.role);
    ASSERT_FALSE(refused) << c.argument;
    EXPECT_THAT(refused.error().what, HasSubstr(c.why));
  }
}

TEST(SyncPolicyChoice, EndsWithTheSynchronisationThatItWasFor) {
  const Policy waits = *choose("prim nov28", Role::Alone);
  EXPECT_EQ(step_policy(waits, Report{.policy = 1}).next, waits) << "not acted upon yet";
  const PolicyStep begun = step_policy(waits, Report{.policy = 7000, .backup = "nov28"});
  EXPECT_EQ(begun.outcome, "done");
  EXPECT_EQ(begun.next.operation, 0U);
  EXPECT_EQ(begun.next.chosen, waits.chosen);
  const PolicyStep ended = step_policy(begun.next, Report{.policy = 7000});
  EXPECT_EQ(ended.next, Policy{});
  EXPECT_EQ(ended.outcome, "");
  EXPECT_THAT(ended.line, HasSubstr("as usual"));
  EXPECT_EQ(step_policy(ended.next, Report{.policy = 7000}), PolicyStep{}) << "said once";
  const PolicyStep refused = step_policy(waits, Report{.policy = 7000, .policy_refused = "used before"});
  EXPECT_EQ(refused.next, Policy{});
  EXPECT_EQ(refused.outcome, "used before");
  EXPECT_NE(step_policy(waits, Report{.policy = 7000}).outcome, "done") << "it has begun nothing, whoever forgot why";
  const Policy full = *choose("full", Role::Stop);
  EXPECT_EQ(step_policy(full, Report{.policy = 7000, .full_wanted = true}).next, full);
  EXPECT_EQ(step_policy(full, Report{.policy = 7000}).next, Policy{});
}

TEST(SyncPolicyChoice, IsKeptAndShown) {
  for (const char* argument : {"full", "prim nov28", "second nov28 blind", "date 1970-01-01T00:00:00.000006Z"}) {
    const Policy policy = *choose(argument, Role::Stop);
    EXPECT_EQ(decode_policy(encode(policy)), policy) << argument;
  }
  EXPECT_EQ(decode_policy("nonsense"), Policy{});
  status::ReplicationSection section;
  show_policy(*choose("second nov28", Role::Stop), nullptr, section);
  EXPECT_EQ(section.sync_mode + " " + section.sync_role + " " + section.sync_uid, "external second nov28");
  section = {};
  show_policy({}, nullptr, section);
  EXPECT_EQ(section.sync_mode + " " + section.sync_role + " " + section.sync_uid, "default default default");
  const Report report{.full_wanted = true};
  show_policy({}, &report, section);
  EXPECT_EQ(section.sync_mode, "full") << "also when `second fullsync` said so";
  show_policy(*choose("prim nov28", Role::Alone), &report, section);
  EXPECT_FALSE(section.sync_ready) << "the backup has to wait for it";
}

}  // namespace
}  // namespace safekit::replication
