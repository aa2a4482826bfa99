#include "controllers/replication/effect.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/manual_clock.h"
#include "schema/fake/memory_files.h"
#include "schema/fake/scripted_process.h"

namespace safekit::replication {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using OrderRole = status::ReplicaOrder::Role;

const ModuleName kDb{"db"};

/// A replica as safekitd sees it: what it was sent, and a way to speak.
struct Replica {
  bool listens{true};
  std::vector<control::Configure> configured{};
  std::vector<control::Want> wanted{};
  std::vector<control::Lease> leases{};
  std::vector<control::Inspect> inspected{};
  LinkTasks tasks{};
};
class FakeLink final : public ReplicaLink {
 public:
  explicit FakeLink(Replica& replica) : replica_(replica) {}
  Status send(const control::Configure& configure) override {
    replica_.configured.push_back(configure);
    return {};
  }
  Status send(const control::Want& want) override {
    replica_.wanted.push_back(want);
    return {};
  }
  Status send(const control::Lease& lease) override {
    replica_.leases.push_back(lease);
    return {};
  }
  Status send(const control::Inspect& inspect) override {
    replica_.inspected.push_back(inspect);
    return {};
  }

 private:
  Replica& replica_;
};

class ReplicationTest : public ::testing::Test {
 protected:
  ReplicationTest() {
    restart();
    const auto cluster = store->apply(
        {store::Kind::Cluster, "cluster"},
        R"({"apiVersion":"safekit/v1","kind":"Cluster","metadata":{"name":"cluster"},"spec":{"lans":[{"name":"net",)"
        R"("nodes":[{"name":"a","address":"10.0.0.1"},{"name":"b","address":"10.0.0.2"}]}]}})",
        {});
    EXPECT_TRUE(cluster.has_value()) << cluster.error().what;
    const auto module = store->apply(
        {store::Kind::Module, "db"},
        R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
        R"("nodes":["a","b"],"heartbeats":{"lans":["net"]},"replication":{"directories":["/data"]}}})",
        {});
    EXPECT_TRUE(module.has_value()) << module.error().what;
  }
  void restart() {
    processes.forget_callbacks();
    controller.reset();
    store = std::make_unique<store::Store>(backend, clock, NodeName{"a"});
    const auto connect = [this](const std::string&, LinkTasks tasks) -> Result<std::unique_ptr<ReplicaLink>> {
      if (!replica.listens) return Error{Code::Unavailable, "nobody listens"};
      replica.tasks = std::move(tasks);
      return std::unique_ptr<ReplicaLink>{std::make_unique<FakeLink>(replica)};
    };
    controller = std::make_unique<ReplicationController>(
        ReplicationController::Ports{*store, clock, processes, files}, connect,
        [] { return Result<ClusterIdentity>{ClusterIdentity{.cluster_id = "c"}}; },
        [this](const engine::Request&) { ++wakes; }, Paths{.state_dir = "/state", .program_dir = "/usr/bin"});
  }
  void order(OrderRole role) {
    store->update_status(kDb, [&](status::Module& m) {
      m.role.since = WallTime{1};
      m.role.replica = {.role = role};
    });
  }
  /// Until nothing is left to do at once.
  void settle() {
    for (int i = 0; i < 5; ++i) {
      const auto outcome = controller->reconcile({"db"});
      ASSERT_TRUE(outcome.has_value()) << outcome.error().what;
    }
  }
  void report(control::Report report) {
    report.order = replica.wanted.back().order;
    report.settled = true;
    replica.tasks.on_report(report);
    settle();
  }
  const status::ReplicationSection& section() { return store->status(kDb).replication; }

  fake::ManualClock clock{};
  fake::MemoryFiles files{};
  fake::ScriptedProcesses processes{};
  store::MemoryBackend backend{};
  Replica replica{};
  std::unique_ptr<store::Store> store{};
  std::unique_ptr<ReplicationController> controller{};
  int wakes{0};
};

TEST_F(ReplicationTest, StartsTellsAndStopsAReplica) {
  order(OrderRole::Idle);
  settle();
  ASSERT_EQ(processes.started.size(), 1U);
  EXPECT_EQ(processes.started[0].argv.front(), "/usr/bin/safekit-replicad");
  ASSERT_EQ(replica.configured.size(), 1U);
  EXPECT_EQ(replica.configured[0].peer, "b");
  ASSERT_EQ(replica.wanted.size(), 1U);
  report({.role = control::ReplicaRole::Idle, .up_to_date = true, .has_data = true});
  EXPECT_TRUE(section().settled);
  EXPECT_TRUE(section().alive);
  EXPECT_EQ(store->status(kDb).resources.at("rfs.uptodate").value, "up");

  order(OrderRole::Primary);
  settle();
  EXPECT_FALSE(section().settled);
  EXPECT_EQ(replica.wanted.back().role, control::ReplicaRole::Primary);
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  EXPECT_TRUE(section().settled);

  order(OrderRole::None);
  settle();
  EXPECT_THAT(processes.signals, ElementsAre(std::pair{101, SIGTERM}));
  EXPECT_TRUE(section().alive);
  processes.end(101, {.code = 0});
  settle();
  EXPECT_FALSE(section().alive);
  EXPECT_FALSE(section().died);
  EXPECT_TRUE(section().up_to_date);
}

TEST_F(ReplicationTest, LeavesTheReplicaAloneUntilTheRoleHasSpoken) {
  order(OrderRole::Primary);
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  restart();
  settle();
  EXPECT_TRUE(processes.signals.empty());
  EXPECT_FALSE(section().alive);
  order(OrderRole::Primary);
  settle();
  EXPECT_FALSE(section().alive);  // not heard yet
  EXPECT_EQ(replica.wanted.back().order, replica.wanted.front().order);
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  EXPECT_TRUE(section().alive);
  EXPECT_TRUE(section().settled);
  EXPECT_EQ(processes.started.size(), 1U);
}

TEST_F(ReplicationTest, StartsAnotherOneForAReplicaThatDiedUnderItsApplication) {
  order(OrderRole::Primary);
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  clock.advance(minutes{1});
  const int before = wakes;
  processes.end(101, {.signal = SIGKILL});
  EXPECT_GT(wakes, before);
  settle();
  EXPECT_FALSE(section().died);
  EXPECT_FALSE(section().alive);
  ASSERT_EQ(processes.started.size(), 2U);
  EXPECT_EQ(processes.started[1].argv.back(), "--take-over");
  const std::uint64_t number = replica.wanted.front().order;
  EXPECT_EQ(replica.wanted.back().order, number) << "a repeated wish gives no new permission";
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  EXPECT_TRUE(section().settled);
}

TEST_F(ReplicationTest, TellsThatAReplicaThatDiedCannotBeFollowed) {
  order(OrderRole::Primary);
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  clock.advance(minutes{1});
  processes.end(101, {.signal = SIGKILL});
  settle();
  EXPECT_TRUE(files.replace("/state/modules/db/replicad.log", "x\nsafekit-replicad: cannot take over: why\n", 0600));
  processes.end(102, {.code = 3});
  settle();
  EXPECT_TRUE(section().died);
  EXPECT_EQ(section().problem, "safekit-replicad: cannot take over: why");
  EXPECT_EQ(processes.started.size(), 2U);
  clock.advance(minutes{1});
  order(OrderRole::Idle);
  settle();
  EXPECT_FALSE(section().died);
  ASSERT_EQ(processes.started.size(), 3U);
  EXPECT_NE(processes.started[2].argv.back(), "--take-over");
}

TEST_F(ReplicationTest, UpgradesByAHandOver) {
  order(OrderRole::Primary);
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true, .replaceable = true});
  const auto id = store->submit({.module = "db", .verb = store::kUpgradeDatapath, .caller = "me"});
  ASSERT_TRUE(id);
  settle();
  EXPECT_THAT(processes.signals, ElementsAre(std::pair{101, SIGHUP}));
  processes.end(101, {.code = 0});
  settle();
  ASSERT_EQ(processes.started.size(), 2U);
  EXPECT_EQ(store->operation(*id)->outcome, "");
  report({.role = control::ReplicaRole::Primary, .up_to_date = true, .replaceable = true});
  EXPECT_EQ(store->operation(*id)->outcome, "done");
  EXPECT_FALSE(section().died);
}

TEST_F(ReplicationTest, GivesAChoiceToTheReplicaAndSaysWhatBecameOfIt) {
  order(OrderRole::Primary);
  store->update_status(ModuleName{"db"}, [](status::Module& module) { module.role.role = status::Role::Alone; });
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  const auto id = store->submit({.module = "db", .verb = store::kRfsSync, .argument = "prim nov28", .caller = "me"});
  ASSERT_TRUE(id);
  settle();
  const control::SyncPolicy sent = replica.configured.back().policy;
  EXPECT_EQ(sent.mode, control::SyncPolicy::Mode::BackupPrimary);
  EXPECT_EQ(store->operation(*id)->outcome, "") << "the backup waits for the replica";
  EXPECT_FALSE(section().sync_ready);
  report({.role = control::ReplicaRole::Primary, .up_to_date = true, .policy = sent.number, .backup = "nov28"});
  EXPECT_EQ(store->operation(*id)->outcome, "done");
  EXPECT_EQ(section().sync_mode, "external");
  EXPECT_EQ(section().sync_uid, "nov28");
  EXPECT_TRUE(section().sync_ready);
  report({.role = control::ReplicaRole::Primary, .up_to_date = true, .policy = sent.number});
  EXPECT_EQ(section().sync_mode, "default");
  const auto wrong = store->submit({.module = "db", .verb = store::kRfsSync, .argument = "second nov28", .caller = "me"});
  settle();
  EXPECT_THAT(store->operation(*wrong)->outcome, HasSubstr("stopped"));
}

TEST_F(ReplicationTest, FindsOutThatTheMountDoesNotAnswer) {
  order(OrderRole::Primary);
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  clock.advance(seconds{121});
  settle();
  ASSERT_EQ(processes.started.size(), 2U);
  EXPECT_THAT(processes.started[1].argv, Contains("/data"));
  processes.end(102, {.code = 0});
  clock.advance(seconds{121});
  settle();
  ASSERT_EQ(processes.started.size(), 3U);
  clock.advance(seconds{221});
  settle();
  EXPECT_TRUE(section().hung);
  order(OrderRole::Idle);
  settle();
  EXPECT_THAT(processes.signals, ElementsAre(std::pair{101, SIGTERM})) << "it cannot be told anything";
  processes.end(101, {.signal = SIGKILL});
  clock.advance(minutes{1});
  settle();
  EXPECT_FALSE(section().hung);
  EXPECT_EQ(processes.started.back().argv.front(), processes.started.front().argv.front());
}

TEST_F(ReplicationTest, GivesEveryModuleAJournalOfItsOwn) {
  order(OrderRole::Idle);
  settle();
  EXPECT_THAT(processes.started.at(0).argv, Contains("/state/modules/db/replica"));
}

TEST_F(ReplicationTest, ForgetsTheJournalOfADeletedModuleOnceItIsStopped) {
  const std::string journal = "/state/modules/db/replica/journal";
  const std::string made_by_script = "/state/modules/db/counter";
  order(OrderRole::Idle);
  settle();
  for (const std::string& path : {journal, made_by_script}) EXPECT_TRUE(files.replace(path, "1", 0600).has_value());
  processes.add("safekit-replica", "safekit-replicad --module db --state-dir /state/modules/db/replica --socket s");
  ASSERT_TRUE(store->remove({store::Kind::Module, "db"}, {}).has_value());
  settle();
  EXPECT_TRUE(files.entries.contains(journal));  // it still runs
  const auto upgrade = store->submit({.module = "db", .verb = store::kUpgradeDatapath});
  ASSERT_TRUE(upgrade);
  for (const int pid : {101, 102}) processes.end(pid, {});
  settle();
  EXPECT_EQ(store->operation(*upgrade)->outcome, "the module is not on this node any more");
  EXPECT_FALSE(files.entries.contains(journal));
  EXPECT_TRUE(files.entries.contains(made_by_script));
  EXPECT_FALSE(store->fact("replication/db").has_value());
}

TEST_F(ReplicationTest, BeginsAsNewWhenTheEndOfANamesakeWasMissed) {
  const std::string journal = "/state/modules/db/replica/journal";
  const store::ObjectKey key{store::Kind::Module, "db"};
  EXPECT_TRUE(files.replace(journal, "old", 0600).has_value());
  const std::string spec = store->get(key)->spec;
  ASSERT_TRUE(store->remove(key, {}).has_value());
  ASSERT_TRUE(store->apply(key, spec, {}).has_value());  // as it comes from the peer, in one piece
  order(OrderRole::Idle);
  settle();
  EXPECT_FALSE(files.entries.contains(journal));
  // From now on it is this module's own.
  EXPECT_TRUE(files.replace(journal, "new", 0600).has_value());
  processes.end(101, {});
  clock.advance(minutes{1});
  settle();
  ASSERT_EQ(processes.started.size(), 2U);
  EXPECT_TRUE(files.entries.contains(journal));
}

TEST_F(ReplicationTest, AsksForOneLookAtTheCopiesAtATime) {
  using control::Inspect;
  using State = control::Inspection::State;
  EXPECT_EQ(controller->inspect("db", Inspect::Kind::Verify).error().code, Code::Unavailable);
  order(OrderRole::Primary);
  settle();
  report({.role = control::ReplicaRole::Primary, .up_to_date = true});
  std::vector<std::string> changes;
  controller->on_inspection([&](const std::string& module) { changes.push_back(module); });
  const auto first = controller->inspect("db", Inspect::Kind::Verify);
  ASSERT_TRUE(first);
  ASSERT_EQ(replica.inspected.size(), 1U);
  EXPECT_EQ(replica.inspected[0], (Inspect{.number = *first}));
  EXPECT_EQ(controller->inspection("db")->state, State::Running);
  EXPECT_EQ(controller->inspect("db", Inspect::Kind::Estimate).error().code, Code::Conflict);
  EXPECT_TRUE(controller->inspect("db", Inspect::Kind::Stop));
  EXPECT_EQ(replica.inspected.back().kind, Inspect::Kind::Stop);
  replica.tasks.on_inspection({.number = *first, .state = State::Done, .differences = {{"/data/x", "mode"}}});
  settle();
  EXPECT_THAT(changes, ElementsAre("db"));
  ASSERT_EQ(store->status(kDb).conditions.size(), 1U);
  EXPECT_EQ(store->status(kDb).conditions[0].type, kCopiesDiffer);

  // One that its replica does not live to end has an end too.
  const auto second = controller->inspect("db", Inspect::Kind::Verify);
  ASSERT_TRUE(second);
  EXPECT_GT(*second, *first);
  replica.tasks.on_closed();
  EXPECT_EQ(controller->inspection("db")->state, State::Failed);
  EXPECT_EQ(changes.size(), 2U);
  settle();
  EXPECT_EQ(store->status(kDb).conditions.size(), 1U);
  report({.role = control::ReplicaRole::Secondary, .up_to_date = true});
  EXPECT_TRUE(store->status(kDb).conditions.empty()) << "the other node speaks of the copies now";
}

TEST_F(ReplicationTest, VerifiesByItselfAsOftenAsTheModuleSays) {
  using control::Inspect;
  using State = control::Inspection::State;
  const auto changed = store->apply(
      {store::Kind::Module, "db"},
      R"({"apiVersion":"safekit/v1","kind":"Module","metadata":{"name":"db"},"spec":{"mode":"mirror",)"
      R"("nodes":["a","b"],"heartbeats":{"lans":["net"]},"replication":{"directories":["/data"],"verifyEvery":"24h","verifyRateKb":10}}})",
      {});
  ASSERT_TRUE(changed.has_value()) << changed.error().what;
  order(OrderRole::Primary);
  settle();
  const control::Report synchronised{.role = control::ReplicaRole::Primary, .up_to_date = true, .connected = true, .peer_synchronised = true};
  report(synchronised);
  clock.advance(hours{25});
  settle();
  EXPECT_TRUE(replica.inspected.empty()) << "not while it is not PRIM";
  store->update_status(kDb, [](status::Module& m) {
    m.role.role = status::Role::Prim;
    m.role.readiness = status::Readiness::Ready;
  });
  settle();
  ASSERT_EQ(replica.inspected.size(), 1U);
  const Inspect first = replica.inspected[0];
  EXPECT_EQ(first, (Inspect{.number = first.number, .cause = Inspect::Cause::Schedule, .bytes_per_second = 10'240}));

  // One that a person asks for takes its place, and counts.
  const auto asked = controller->inspect("db", Inspect::Kind::Verify);
  ASSERT_TRUE(asked);
  replica.tasks.on_inspection({.number = *asked, .state = State::Done});
  clock.advance(hours{23});
  settle();
  EXPECT_EQ(replica.inspected.size(), 2U);
  const auto outcome = controller->reconcile({"db"});
  // It was asked for in the same moment, so its number, the time at which it began, is one more.
  constexpr Duration kLeft = hours{1} + std::chrono::nanoseconds{1};
  EXPECT_EQ(outcome->requeue_after, kLeft);

  // A new safekitd knows when the last one was; one that fails is tried again.
  restart();
  order(OrderRole::Primary);
  settle();
  report(synchronised);
  store->update_status(kDb, [](status::Module& m) {
    m.role.role = status::Role::Prim;
    m.role.readiness = status::Readiness::Ready;
  });
  settle();
  EXPECT_EQ(replica.inspected.size(), 2U);
  clock.advance(kLeft);
  settle();
  ASSERT_EQ(replica.inspected.size(), 3U);
  replica.tasks.on_inspection({.number = replica.inspected[2].number,
                               .cause = Inspect::Cause::Schedule,
                               .state = State::Failed,
                               .reason = "the connection was lost"});
  settle();
  EXPECT_EQ(replica.inspected.size(), 3U);
  clock.advance(kVerifyAgain);
  settle();
  EXPECT_EQ(replica.inspected.size(), 4U);
}

TEST_F(ReplicationTest, SaysWhyAReplicaDoesNotRun) {
  replica.listens = false;
  ASSERT_TRUE(files.replace("/state/modules/db/replicad.log", "old\nsafekit-replicad: disk on fire\n", 0640).has_value());
  order(OrderRole::Idle);
  for (int i = 1; i <= static_cast<int>(kEarlyExits); ++i) {
    EXPECT_FALSE(section().fatal);
    settle();
    processes.end(100 + i, {.code = 1});
    clock.advance(kRestartPause);
    settle();
  }
  EXPECT_TRUE(section().fatal);
  EXPECT_EQ(section().order.role, OrderRole::Idle);
  EXPECT_EQ(section().problem,
            "the replication process ends as soon as it is started: safekit-replicad: disk on fire");
  order(OrderRole::None);  // the role gives up and stops the module
  settle();
  EXPECT_FALSE(section().fatal);
}

TEST_F(ReplicationTest, KeepsTryingToConnect) {
  replica.listens = false;
  order(OrderRole::Idle);
  settle();
  EXPECT_EQ(controller->reconcile({"db"})->requeue_after, kConnectPause);
  replica.listens = true;
  settle();
  EXPECT_EQ(replica.wanted.size(), 1U);
  replica.tasks.on_closed();
  settle();
  EXPECT_EQ(replica.wanted.size(), 2U);
  EXPECT_EQ(replica.wanted[0], replica.wanted[1]);
}

}  // namespace
}  // namespace safekit::replication
