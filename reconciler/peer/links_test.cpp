#include "reconciler/peer/links.h"

#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "schema/fake/kept_log.h"
#include "schema/fake/manual_loop.h"

namespace safekit::peer {
namespace {

using store::Kind;
using store::ObjectKey;
using testing::ElementsAre;
using testing::HasSubstr;

const ObjectKey kDb{Kind::Module, "db"};

/// Carries requests between the nodes of a test; links can be cut.
class Wire {
 public:
  class End final : public Transport {
   public:
    End(Wire& wire, NodeName node) : wire_(wire), node_(std::move(node)) {}
    void set_members(const Member&, const std::vector<Member>& peers) override { members = peers; }
    void request(const NodeName& peer, const std::string& path, std::string body, Duration, ReplyTask reply) override {
      wire_.deliver(node_, peer, path, std::move(body), std::move(reply));
    }
    void on_request(Handler handler) override { handler_ = std::move(handler); }
    [[nodiscard]] std::vector<std::string> problems() const override { return {}; }
    Handler handler_{};
    std::vector<Member> members{};

   private:
    Wire& wire_;
    NodeName node_;
  };
  explicit Wire(Loop& loop) : loop_(loop) {}
  End& end(const NodeName& node) { return *ends_.try_emplace(node, std::make_unique<End>(*this, node)).first->second; }
  void cut(const std::string& a, const std::string& b) { cut_.insert({a, b}), cut_.insert({b, a}); }
  void heal() { cut_.clear(); }
  int requests{0};

 private:
  void deliver(const NodeName& from, const NodeName& to, const std::string& path, std::string body, ReplyTask reply) {
    ++requests;
    loop_.post([this, from, to, path, body = std::move(body), reply = std::move(reply)] {
      const auto end = ends_.find(to);
      if (cut_.contains({from.str(), to.str()}) || end == ends_.end() || !end->second->handler_) {
        return reply(Error{Code::Unavailable, "no answer"});
      }
      end->second->handler_(from, path, body, [this, reply](Result<std::string> answer) {
        loop_.post([reply, answer = std::move(answer)] { reply(answer); });
      });
    });
  }
  Loop& loop_;
  std::map<NodeName, std::unique_ptr<End>> ends_{};
  std::set<std::pair<std::string, std::string>> cut_{};
};

struct Node {
  Node(const std::string& name, Wire& wire, fake::ManualLoop& loop, fake::ManualClock& clock)
      : store(disk, clock, NodeName{name}), end(wire.end(NodeName{name})), peers({store, loop, clock, log}, end) {}
  store::MemoryBackend disk{};
  fake::KeptLog log{};
  store::Store store;
  Wire::End& end;
  Peers peers;
};

std::string cluster_spec() {
  return R"({"apiVersion":"safekit/v1","kind":"Cluster","metadata":{"name":"demo"},"spec":{"lans":[{"name":"default",)"
         R"("nodes":{"node1":"10.0.0.11","node2":"10.0.0.12","node3":"10.0.0.13"}}]}})";
}
std::string module_spec(const std::string& nodes, const std::string& label) {
  return fmt::format(R"({{"apiVersion":"safekit/v1","kind":"Module","metadata":{{"name":"db","labels":{{"v":"{}"}}}},)"
                     R"("spec":{{"mode":"mirror","nodes":[{}]}}}})",
                     label, nodes);
}
const std::string kBoth = R"("node1","node2")";

class PeersTest : public testing::Test {
 protected:
  PeersTest() {
    (void)one.store.apply(store::kClusterKey, cluster_spec(), {});
    (void)two.store.adopt(*one.store.get(store::kClusterKey), one.store.history(store::kClusterKey));
    (void)three.store.adopt(*one.store.get(store::kClusterKey), one.store.history(store::kClusterKey));
    for (Node* node : {&one, &two, &three}) node->peers.start();
    settle();
  }
  void settle() { loop.advance(seconds{40}); }
  fake::ManualClock clock{};
  fake::ManualLoop loop{clock};
  Wire wire{loop};
  Node one{"node1", wire, loop, clock};
  Node two{"node2", wire, loop, clock};
  Node three{"node3", wire, loop, clock};
};

TEST_F(PeersTest, ARevisionHasOneVersionOnEveryNode) {
  one.store.record(ModuleName{"db"}, "heart", 'E', "the stores' own revisions run apart");
  const auto first = one.store.apply(kDb, module_spec(kBoth, "1"), {});
  settle();
  ASSERT_TRUE(two.store.get(kDb).has_value());
  ASSERT_NE(two.store.get(kDb)->revision, first->revision);
  const auto second = two.store.apply(kDb, module_spec(kBoth, "2"), {.expected = store::version_of(*first)});
  ASSERT_TRUE(second.has_value()) << second.error().what;
  settle();
  const auto late = one.store.apply(kDb, module_spec(kBoth, "3"), {.expected = store::version_of(*first)});
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Code::Conflict);
}

TEST_F(PeersTest, AnApplyReachesTheNodesItNamesAtOnceAndNoOther) {
  (void)one.store.apply(kDb, module_spec(kBoth, "1"), {});
  loop.advance(milliseconds{1});
  ASSERT_TRUE(two.store.get(kDb).has_value());
  EXPECT_EQ(two.store.get(kDb)->digest, one.store.get(kDb)->digest);
  settle();
  EXPECT_FALSE(three.store.get(kDb).has_value());
}

TEST_F(PeersTest, AnApplyOnANodeThatIsNotNamedConvergesAllAndHearsOfLaterOnes) {
  (void)three.store.apply(kDb, module_spec(kBoth, "1"), {});
  settle();
  EXPECT_TRUE(one.store.get(kDb) && two.store.get(kDb));
  (void)two.store.apply(kDb, module_spec(kBoth, "2"), {});
  settle();
  for (Node* node : {&one, &two, &three}) EXPECT_EQ(node->store.get(kDb)->generation, 2U);
}

TEST_F(PeersTest, ANodeThatWasAwayDuringSeveralAppliesCatchesUp) {
  (void)one.store.apply(kDb, module_spec(kBoth, "0"), {});
  settle();
  wire.cut("node1", "node2");
  for (int i = 1; i <= 300; ++i) (void)one.store.apply(kDb, module_spec(kBoth, std::to_string(i)), {});
  settle();
  EXPECT_EQ(two.store.get(kDb)->generation, 1U);
  EXPECT_FALSE(one.peers.is_reachable(NodeName{"node2"}));
  wire.heal();
  settle();
  EXPECT_EQ(two.store.get(kDb)->digest, one.store.get(kDb)->digest);
  EXPECT_TRUE(one.store.conflicts().empty() && two.store.conflicts().empty());
  EXPECT_TRUE(one.peers.is_reachable(NodeName{"node2"}));
}

TEST_F(PeersTest, ADeletionReachesANodeThatWasAway) {
  (void)one.store.apply(kDb, module_spec(kBoth, "0"), {});
  settle();
  wire.cut("node1", "node2");
  (void)one.store.remove(kDb, {});
  settle();
  EXPECT_TRUE(two.store.get(kDb).has_value());
  wire.heal();
  settle();
  EXPECT_FALSE(two.store.get(kDb).has_value());
}

TEST_F(PeersTest, ANodeTakenOutOfAModuleHearsOfIt) {
  (void)one.store.apply(kDb, module_spec(kBoth, "0"), {});
  settle();
  (void)one.store.apply(kDb, module_spec(R"("node1","node3")", "1"), {});
  settle();
  EXPECT_EQ(three.store.get(kDb)->generation, 2U);
  EXPECT_TRUE(two.store.local_modules().empty());
}

TEST_F(PeersTest, EditsOnBothSidesOfAPartitionAreReportedAndKept) {
  (void)one.store.apply(kDb, module_spec(kBoth, "0"), {});
  settle();
  wire.cut("node1", "node2");
  (void)one.store.apply(kDb, module_spec(kBoth, "left"), {.author = "ann"});
  (void)two.store.apply(kDb, module_spec(kBoth, "right"), {.author = "bob"});
  wire.heal();
  settle();
  ASSERT_EQ(one.store.conflicts(kDb).size(), 1U);
  ASSERT_EQ(two.store.conflicts(kDb).size(), 1U);
  EXPECT_EQ(one.store.conflicts(kDb).front().theirs.author, "bob");
  EXPECT_THAT(one.store.get(kDb)->spec, HasSubstr("left"));
  EXPECT_THAT(two.store.get(kDb)->spec, HasSubstr("right"));
  const auto events = one.store.events(ModuleName{"db"}, 10, false);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_THAT(events.front().text, testing::AllOf(HasSubstr("'ann' on 'node1'"), HasSubstr("'bob' on 'node2'")));
}

/// Ended in every way, on either side: all end up with one revision and no conflict.
TEST_F(PeersTest, AConflictEndsOnAllNodes) {
  const NodeName left{"node1"};
  const NodeName right{"node2"};
  for (int way = 0; way < 6; ++way) {
    (void)one.store.apply(kDb, module_spec(kBoth, fmt::format("base {}", way)), {});
    settle();
    wire.cut("node1", "node2");
    (void)one.store.apply(kDb, module_spec(kBoth, fmt::format("left {}", way)), {});
    (void)two.store.apply(kDb, module_spec(kBoth, fmt::format("right {}", way)), {});
    wire.heal();
    settle();
    ASSERT_EQ(one.store.conflicts(kDb).size(), 1U);
    std::string expected = "right";
    switch (way) {
      case 0: ASSERT_TRUE(one.store.take(kDb, right, {})); break;
      case 1: ASSERT_TRUE(two.store.take(kDb, right, {})); break;
      case 2: ASSERT_TRUE(one.store.take(kDb, left, {})); expected = "left"; break;
      case 3: ASSERT_TRUE(one.store.apply(kDb, module_spec(kBoth, "new"), {})); expected = "new"; break;
      case 4: ASSERT_TRUE(two.store.apply(kDb, module_spec(kBoth, "right 4"), {})); break;  // the same again decides too
      default: ASSERT_TRUE(one.store.take(kDb, right, {}) && two.store.take(kDb, right, {})); break;
    }
    settle();
    EXPECT_TRUE(one.store.conflicts().empty() && two.store.conflicts().empty()) << way;
    EXPECT_EQ(one.store.get(kDb)->digest, two.store.get(kDb)->digest) << way;
    EXPECT_THAT(two.store.get(kDb)->spec, HasSubstr(expected)) << way;
  }
}

TEST_F(PeersTest, ADeletionAgainstAnEditIsAConflict) {
  (void)one.store.apply(kDb, module_spec(kBoth, "0"), {});
  settle();
  wire.cut("node1", "node2");
  (void)one.store.remove(kDb, {});
  (void)two.store.apply(kDb, module_spec(kBoth, "1"), {});
  wire.heal();
  settle();
  EXPECT_EQ(one.store.conflicts(kDb).size(), 1U);
  EXPECT_FALSE(one.store.get(kDb).has_value());
  EXPECT_TRUE(two.store.get(kDb).has_value());
  ASSERT_TRUE(two.store.take(kDb, NodeName{"node1"}, {}).has_value());
  settle();
  EXPECT_FALSE(two.store.get(kDb).has_value());
  EXPECT_TRUE(one.store.conflicts().empty() && two.store.conflicts().empty());
}

TEST_F(PeersTest, TheSameEditOnBothSidesIsNoConflict) {
  (void)one.store.apply(kDb, module_spec(kBoth, "0"), {});
  settle();
  wire.cut("node1", "node2");
  (void)one.store.apply(kDb, module_spec(kBoth, "x"), {});
  (void)one.store.apply(kDb, module_spec(kBoth, "same"), {});
  (void)two.store.apply(kDb, module_spec(kBoth, "same"), {});
  wire.heal();
  settle();
  EXPECT_TRUE(one.store.conflicts().empty() && two.store.conflicts().empty());
  EXPECT_EQ(one.store.get(kDb)->digest, two.store.get(kDb)->digest);
  EXPECT_EQ(two.store.get(kDb)->generation, 3U);
}

TEST_F(PeersTest, AQuietLinkCostsOneRequestPerInterval) {
  settle();
  const int before = wire.requests;
  loop.advance(seconds{50});
  EXPECT_LE(wire.requests - before, 3 * 2 * 10 + 6);
}

TEST_F(PeersTest, ALinkThatComesAndGoesIsTold) {
  int told = 0;
  one.store.watch([&](const store::Change& change) { told += change.what == store::Change::What::Peers ? 1 : 0; });
  wire.cut("node1", "node2");
  settle();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(one.peers.peers().front().problem, "no answer");
  wire.heal();
  settle();
  EXPECT_EQ(told, 2);
}

TEST_F(PeersTest, ForwardsToTheHandlerOfTheLongestPrefix) {
  two.peers.on_request("/operation", [](const NodeName& from, const std::string& path, const std::string& body, ReplyTask reply) {
    reply(from.str() + " " + path + " " + body);
  });
  two.peers.on_request("/operation/status", [](const NodeName&, const std::string&, const std::string&, ReplyTask reply) {
    reply(Error{Code::NotFound, "no such module"});
  });
  std::vector<std::string> answers;
  const auto keep = [&](const Result<std::string>& answer) { answers.push_back(answer ? *answer : answer.error().what); };
  one.peers.forward(NodeName{"node2"}, "/operation", "start", keep);
  one.peers.forward(NodeName{"node2"}, "/operation/status/db", "", keep);
  one.peers.forward(NodeName{"node2"}, "/unknown", "", keep);
  one.peers.forward(NodeName{"node9"}, "/operation", "", keep);
  loop.run_posted();
  EXPECT_THAT(answers, testing::UnorderedElementsAre("node1 /operation start", "no such module",
                                                     "this node does not know the request '/unknown'",
                                                     "'node9' is not another node of this cluster"));
}

TEST_F(PeersTest, ANodeTakenOutOfTheClusterHasNoLinkLeft) {
  const std::string smaller = R"({"apiVersion":"safekit/v1","kind":"Cluster","metadata":{"name":"demo"},"spec":{"lans":[)"
                              R"({"name":"default","nodes":{"node1":"10.0.0.11","node2":"10.0.0.12"}}]}})";
  (void)one.store.apply(store::kClusterKey, smaller, {});
  settle();
  EXPECT_EQ(one.peers.peers().size(), 1U);
  EXPECT_EQ(two.peers.peers().size(), 1U);
}

}  // namespace
}  // namespace safekit::peer
