#include "controllers/replication/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::replication {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using OrderRole = status::ReplicaOrder::Role;

constexpr MonoTime kNow{100'000'000'000};

Desired wants(OrderRole role) {
  return {.configured = true,
          .order = {.role = role},
          .configure = control::Configure{.module = "db"},
          .problem = {}};
}
Memory with_process(OrderRole wish, std::uint64_t number = 4) {
  return {.process = ProcessIdentity{.pid = 7, .start_ticks = 7},
          .started = kNow,
          .number = number,
          .wish = {.role = wish}};
}
Observed settled(std::uint64_t number, control::ReplicaRole role) {
  return {.running = true,
          .reported = true,
          .connected = true,
          .sent_configure = control::Configure{.module = "db"},
          .sent_number = number,
          .report = control::Report{.order = number, .role = role, .settled = true, .up_to_date = true}};
}

TEST(ReplicationPlan, StartsAndConnectsAndTells) {
  Plan plan = decide(wants(OrderRole::Idle), {}, {}, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{StartProcess{}}));
  plan = decide(wants(OrderRole::Idle), {.running = true}, with_process(OrderRole::None, 0), kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{Connect{}}));
  EXPECT_EQ(plan.recheck_after, kConnectPause);
  plan = decide(wants(OrderRole::Primary), {.running = true, .connected = true},
                with_process(OrderRole::None, 0), kNow);
  EXPECT_THAT(plan.actions,
              ElementsAre(Action{SendConfigure{{.module = "db"}}},
                          Action{SendWant{{.order = 1, .role = control::ReplicaRole::Primary}}}));
  EXPECT_EQ(plan.memory.number, 1U);
  EXPECT_EQ(plan.memory.wish.role, OrderRole::Primary);
}

TEST(ReplicationPlan, KeepsTheNumberOfAWishOverARestart) {
  Observed observed = settled(4, control::ReplicaRole::Primary);
  observed.sent_number = 0;
  observed.sent_configure.reset();
  const Plan plan = decide(wants(OrderRole::Primary), observed, with_process(OrderRole::Primary), kNow);
  EXPECT_EQ(plan.memory.number, 4U);
  EXPECT_EQ(plan.actions.size(), 2U);
  EXPECT_EQ(decide(wants(OrderRole::Primary), settled(4, control::ReplicaRole::Primary),
                   with_process(OrderRole::Primary), kNow)
                .actions,
            std::vector<Action>{});
}

TEST(ReplicationPlan, NumbersANewWishAboveWhatTheReplicaHasSeen) {
  Observed observed = settled(9, control::ReplicaRole::Primary);
  const Plan plan = decide(wants(OrderRole::Idle), observed, with_process(OrderRole::Primary, 4), kNow);
  EXPECT_EQ(plan.memory.number, 10U);
}

TEST(ReplicationPlan, StopsWithTermThenKill) {
  Memory memory = with_process(OrderRole::Idle);
  const Observed running{.running = true, .connected = true};
  Plan plan = decide(wants(OrderRole::None), running, memory, kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{SignalProcess{.kill = false}}));
  plan = decide(wants(OrderRole::None), running, plan.memory, kNow + seconds{1});
  EXPECT_THAT(plan.actions, IsEmpty());
  plan = decide(wants(OrderRole::None), running, plan.memory, kNow + kStopLimit);
  EXPECT_THAT(plan.actions, ElementsAre(Action{SignalProcess{.kill = true}}));
  plan = decide(wants(OrderRole::None), {}, plan.memory, kNow + kStopLimit);
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_FALSE(plan.memory.process.has_value());
  EXPECT_FALSE(plan.memory.died);
}

/// Of a process that was seen in its role.
Memory seen(OrderRole role) {
  Memory memory = with_process(role);
  memory.heard = true;
  return memory;
}

TEST(ReplicationPlan, AnotherOneTakesTheMountsOfAPrimaryThatDiedOver) {
  Plan plan = decide(wants(OrderRole::Primary), {}, seen(OrderRole::Primary), kNow + milliseconds{10});
  EXPECT_FALSE(plan.memory.died);
  EXPECT_THAT(plan.actions, ElementsAre(Action{StartProcess{.take_over = true}}));
  EXPECT_EQ(section_of(wants(OrderRole::Primary), {}, plan.memory).successors, 1U);
  // Settled it is, steady when the peer has everything again.
  plan.memory.process = ProcessIdentity{.pid = 8, .start_ticks = 8};
  Observed observed = settled(4, control::ReplicaRole::Primary);
  plan = decide(wants(OrderRole::Primary), observed, plan.memory, kNow + seconds{1});
  EXPECT_FALSE(plan.memory.taking_over);
  EXPECT_EQ(plan.memory.successors, 1U);
  observed.report->peer_synchronised = true;
  EXPECT_EQ(decide(wants(OrderRole::Primary), observed, plan.memory, kNow + seconds{1}).memory.successors, 0U);
  observed.report->peer_synchronised = false;
  EXPECT_EQ(decide(wants(OrderRole::Primary), observed, plan.memory, kNow + minutes{1}).memory.successors, 0U);
}

TEST(ReplicationPlan, ASecondaryThatDiedIsStartedAgain) {
  const Plan plan = decide(wants(OrderRole::Secondary), {}, with_process(OrderRole::Secondary), kNow + minutes{1});
  EXPECT_FALSE(plan.memory.died);
  EXPECT_THAT(plan.actions, ElementsAre(Action{StartProcess{}}));
}

TEST(ReplicationPlan, DoesNotTouchTheMountsOfAReplicaThatNobodyCanFollow) {
  Memory often = seen(OrderRole::Primary);
  often.successors = kSuccessorsMax;
  const Observed refused{.last_words = "nobody keeps them", .not_taken = true};
  const std::array<std::pair<Memory, Observed>, 3> cases{
      {{often, {}}, {seen(OrderRole::Primary), refused}, {with_process(OrderRole::Primary), {}}}};
  for (const auto& [memory, observed] : cases) {
    Plan plan = decide(wants(OrderRole::Primary), observed, memory, kNow + minutes{1});
    EXPECT_TRUE(plan.memory.died);
    EXPECT_THAT(plan.actions, ElementsAre(Action{LetGo{}}));
    const auto section = section_of(wants(OrderRole::Primary), {}, plan.memory);
    EXPECT_TRUE(section.died);
    EXPECT_NE(section.problem, "");
    plan = decide(wants(OrderRole::Primary), {}, plan.memory, kNow + minutes{2});
    EXPECT_THAT(plan.actions, IsEmpty());
    plan = decide(wants(OrderRole::Idle), {}, plan.memory, kNow + minutes{2});
    EXPECT_FALSE(plan.memory.died);
    EXPECT_THAT(plan.actions, ElementsAre(Action{StartProcess{}}));
  }
}

TEST(ReplicationPlan, ManySuccessorsInARowPauseBetweenStarts) {
  Memory memory = seen(OrderRole::Primary);
  memory.successors = kSuccessorsAtOnce;
  const Plan plan = decide(wants(OrderRole::Primary), {}, memory, kNow + milliseconds{400});
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_EQ(plan.recheck_after, milliseconds{600});
}

TEST(ReplicationPlan, AnUpgradeIsAHandOverAndAnotherStart) {
  Desired desired = wants(OrderRole::Primary);
  desired.replace = 12;
  Observed observed = settled(4, control::ReplicaRole::Primary);
  observed.report->replaceable = true;
  Plan plan = decide(desired, observed, seen(OrderRole::Primary), kNow);
  EXPECT_THAT(plan.actions, ElementsAre(Action{HandOver{}}));
  EXPECT_FALSE(plan.finished);
  EXPECT_THAT(decide(desired, observed, plan.memory, kNow).actions, IsEmpty());
  plan = decide(desired, {}, plan.memory, kNow + milliseconds{10});
  EXPECT_THAT(plan.actions, ElementsAre(Action{StartProcess{.take_over = true}}));
  EXPECT_EQ(plan.memory.successors, 0U);
  Memory next = plan.memory;
  next.process = ProcessIdentity{.pid = 8, .start_ticks = 8};
  plan = decide(desired, observed, next, kNow + seconds{1});
  EXPECT_EQ(plan.finished, (FinishedOperation{.id = 12, .outcome = "done"}));
  EXPECT_EQ(plan.memory.replacing, 0U);
  // It could not: said, and the module starts anew.
  plan = decide(desired, {.last_words = "of another release", .not_taken = true}, next, kNow + seconds{1});
  EXPECT_TRUE(plan.memory.died);
  ASSERT_TRUE(plan.finished);
  EXPECT_NE(plan.finished->outcome.find("of another release"), std::string::npos);
}

TEST(ReplicationPlan, AnUpgradeThatCannotBeIsRefused) {
  Desired desired = wants(OrderRole::Primary);
  desired.replace = 12;
  Plan plan = decide(desired, settled(4, control::ReplicaRole::Primary), seen(OrderRole::Primary), kNow);
  EXPECT_THAT(plan.actions, IsEmpty());
  ASSERT_TRUE(plan.finished);
  EXPECT_NE(plan.finished->outcome, "done");
  desired.order.role = OrderRole::None;
  plan = decide(desired, {}, {}, kNow);
  ASSERT_TRUE(plan.finished);
  EXPECT_NE(plan.finished->outcome, "done");
}

TEST(ReplicationPlan, PausesBetweenStartsOfAReplicaThatWillNotLive) {
  const Plan plan =
      decide(wants(OrderRole::Idle), {}, with_process(OrderRole::Idle), kNow + milliseconds{400});
  EXPECT_THAT(plan.actions, IsEmpty());
  EXPECT_EQ(plan.recheck_after, milliseconds{600});
}

TEST(ReplicationPlan, AStartBeforeTheNodeWasBootedCausesNoPause) {
  Memory memory = with_process(OrderRole::Secondary);
  memory.started = kNow + hours{1000};  // the clock has begun anew
  const Plan plan = decide(wants(OrderRole::None), {}, memory, kNow);
  EXPECT_THAT(decide(wants(OrderRole::Idle), {}, plan.memory, kNow).actions, ElementsAre(Action{StartProcess{}}));
}

TEST(ReplicationPlan, SectionSaysSettledOnlyForTheWishInForce) {
  const Memory memory = with_process(OrderRole::Primary, 4);
  EXPECT_TRUE(
      section_of(wants(OrderRole::Primary), settled(4, control::ReplicaRole::Primary), memory).settled);
  EXPECT_FALSE(
      section_of(wants(OrderRole::Primary), settled(3, control::ReplicaRole::Primary), memory).settled);
  Observed gone = settled(4, control::ReplicaRole::Primary);
  gone.connected = false;
  gone.report.reset();
  const auto section = section_of(wants(OrderRole::Primary), gone, memory);
  EXPECT_FALSE(section.settled);
  EXPECT_TRUE(section.alive);
}

TEST(ReplicationPlan, IsAliveFromTheFirstReportUntilTheProcessIsGone) {
  Memory memory = with_process(OrderRole::Secondary);
  EXPECT_FALSE(section_of(wants(OrderRole::Secondary), {.running = true}, memory).alive);
  EXPECT_TRUE(section_of(wants(OrderRole::Secondary), {.running = true, .reported = true}, memory).alive);
  memory.terminated = kNow;
  EXPECT_TRUE(section_of(wants(OrderRole::None), {.running = true}, memory).alive);
  EXPECT_FALSE(section_of(wants(OrderRole::None), {.reported = true}, memory).alive);
}

TEST(ReplicationPlan, ShowsTheMarksOfAStoppedReplica) {
  Memory memory;
  memory.last.up_to_date = true;
  memory.last.generation = 77;
  const auto section = section_of(wants(OrderRole::None), {}, memory);
  EXPECT_FALSE(section.alive);
  EXPECT_TRUE(section.up_to_date);
  EXPECT_EQ(section.generation, 77U);
}

TEST(ReplicationLines, TellTheCourseOfASynchronisation) {
  status::ReplicationSection before;
  before.configured = true;
  before.order.role = OrderRole::Secondary;
  before.alive = true;
  status::ReplicationSection after = before;
  after.phase = "comparing";
  EXPECT_THAT(lines_between(before, after, {"/data"}),
              ElementsAre(Line{"reintegre", 'E', "Updating directory tree from /data"}));
  before = after;
  after.phase = "copying";
  EXPECT_THAT(lines_between(before, after, {"/data"}), IsEmpty());
  before = after;
  after.phase = "done";
  after.peer_synchronised = true;
  after.files_done = 3;
  EXPECT_THAT(lines_between(before, after, {"/data"}),
              ElementsAre(Line{"reintegre", 'E', "Copied 3 files, 0 KB"},
                          Line{"rfsplug", 'E', "Reintegration ended (synchronize)"}));
}

TEST(ReplicationText, DoesNotTellAgainWhatAReplicaFoundAgainDidBefore) {
  status::ReplicationSection before;
  before.configured = true;
  before.order.role = OrderRole::Secondary;
  status::ReplicationSection after = before;
  after.alive = true;
  after.peer_synchronised = true;
  for (const char* phase : {"copying", "done"}) {
    after.phase = phase;
    EXPECT_THAT(lines_between(before, after, {"/data"}), IsEmpty()) << phase;
  }
}

TEST(ReplicationText, KeepsTheMemory) {
  Memory memory = with_process(OrderRole::Secondary);
  memory.terminated = kNow;
  memory.died = true;
  memory.last.up_to_date = true;
  memory.last.has_data = true;
  memory.last.restorable = true;
  memory.last.generation = 0xFFFF'FFFF'FFFF'FFFFULL;
  memory.wish.full_resync = true;
  EXPECT_EQ(decode(encode(memory)), memory);
  EXPECT_EQ(decode(encode(Memory{})), Memory{});
  std::string before = encode(memory);  // as version 3 wrote it
  before[0] = '3';
  before.erase(before.find("100101") + 5, 1);
  memory.last.restorable = false;
  EXPECT_EQ(decode(before), memory);
  EXPECT_EQ(decode(""), std::nullopt);
  EXPECT_EQ(decode("1 2 3"), std::nullopt);
}

spec::Cluster cluster() {
  spec::Cluster cluster;
  spec::Lan lan;
  lan.name = LanName{"net"};
  lan.nodes = {{.name = NodeName{"a"}, .address = "10.0.0.1", .local_address = {}},
               {.name = NodeName{"b"}, .address = "10.0.0.2", .local_address = {}}};
  cluster.lans = {lan};
  return cluster;
}
spec::Module mirror() {
  spec::Module module;
  module.metadata.name = "db";
  module.id = 2;
  module.nodes = {NodeName{"a"}, NodeName{"b"}};
  module.heart = spec::Heart{};
  module.heart->lans = {{.lan = LanName{"net"}}};
  module.replication = spec::Replication{};
  module.replication->directories = {
      {.path = "/data", .not_replicated = {{.path = "temp", .regex = ""}, {.path = "", .regex = "!x"}}, .to_check = {}}};
  return module;
}

TEST(ReplicationConfigure, IsMadeFromTheSpecs) {
  const auto result = configure_of(cluster(), mirror(), NodeName{"b"}, {.cluster_id = "c1"});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->peer, "a");
  EXPECT_EQ(result->listen_address, "10.0.0.2");
  EXPECT_EQ(result->peer_address, "10.0.0.1");
  EXPECT_EQ(result->port, 5604);
  EXPECT_EQ(result->lost_bytes_max, 4ULL << 30);
  EXPECT_EQ(result->silence, spec::Heart{}.timeout * 2 / 3);
  EXPECT_THAT(result->directories, ElementsAre(control::ReplicaDirectory{
                                       .path = "/data", .must_exist = {}, .not_replicated = {{"temp", ""}, {"", "!x"}}}));
}

TEST(ReplicationConfigure, SaysWhatIsMissing) {
  spec::Module module = mirror();
  module.nodes.pop_back();
  EXPECT_EQ(configure_of(cluster(), module, NodeName{"a"}, {}).error().code, Code::Invalid);
  module = mirror();
  module.replication->lan = LanName{"other"};
  EXPECT_THAT(configure_of(cluster(), module, NodeName{"a"}, {}).error().what,
              ::testing::HasSubstr("'other'"));
}

TEST(ReplicationPlan, ALeaseIsToldAndWhatEndsCallsThatAreHeld) {
  using Section = status::LeaseSection;
  using enum status::LeaseNeed;
  const Section granted{.witness = Section::Witness::Grants, .answer = Section::Answer::Granted, .until = MonoTime{7}};
  EXPECT_EQ(lease_of(granted, Needed), (control::Lease{.until = MonoTime{7}}));
  for (const auto no : {Section::Answer::Refused, Section::Answer::Silent}) {
    EXPECT_EQ(lease_of({.witness = Section::Witness::Grants, .answer = no}, Needed), (control::Lease{.refused = true}));
    EXPECT_EQ(lease_of({.witness = Section::Witness::Grants, .answer = no}, Wanted), control::Lease{}) << "nothing rests on it";
  }
  EXPECT_EQ(lease_of({}, Forgone), (control::Lease{.refused = true}));
  EXPECT_EQ(lease_of({}, None), control::Lease{});
}

}  // namespace
}  // namespace safekit::replication
