#include "reconciler/peer/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/store/memory_backend.h"
#include "reconciler/store/store.h"
#include "schema/fake/manual_clock.h"

namespace safekit::peer {
namespace {

using store::Kind;
using store::ObjectKey;
using store::StoredObject;
using testing::ElementsAre;
using testing::IsEmpty;

const ObjectKey kDb{Kind::Module, "db"};

StoredObject made(const std::string& digest, std::vector<std::string> before, const std::string& spec,
                  std::uint64_t generation = 1, bool deleted = false) {
  StoredObject stored{};
  stored.object = {.key = kDb, .spec = spec, .generation = generation, .digest = digest, .deleted = deleted};
  stored.history = std::move(before);
  stored.history.insert(stored.history.begin(), digest);
  return stored;
}

/// Every relation of two revisions, each with and without a deletion on either side.
TEST(Judge, WalksAllRelationsOfTwoRevisions) {
  struct Case {
    const char* label;
    std::vector<std::string> before_mine;
    std::vector<std::string> before_theirs;
    std::string mine;
    std::string theirs;
    Judgement expected;
  };
  const std::vector<Case> cases = {
      {"the same revision", {"o"}, {"o"}, "a", "a", Judgement::Same},
      {"theirs follows mine", {"o"}, {"a", "o"}, "a", "b", Judgement::Theirs},
      {"theirs follows mine by far", {}, {"x", "y", "a"}, "a", "b", Judgement::Theirs},
      {"mine follows theirs", {"b", "o"}, {"o"}, "a", "b", Judgement::Mine},
      {"both follow the same one", {"o"}, {"o"}, "a", "b", Judgement::Conflict},
      {"both are first", {}, {}, "a", "b", Judgement::Conflict},
      {"nothing in common", {"o"}, {"p"}, "a", "b", Judgement::Conflict},
  };
  for (const Case& c : cases) {
    for (const bool mine_deleted : {false, true}) {
      for (const bool theirs_deleted : {false, true}) {
        const StoredObject mine = made(c.mine, c.before_mine, "spec " + c.mine, 2, mine_deleted);
        const StoredObject theirs = made(c.theirs, c.before_theirs, "spec " + c.theirs, 2, theirs_deleted);
        EXPECT_EQ(judge(&mine, theirs), c.expected) << c.label;
      }
    }
  }
  EXPECT_EQ(judge(nullptr, made("b", {}, "x")), Judgement::Theirs);
}

TEST(Judge, EqualContentIsNoConflictAndBothSidesAgreeWhichStays) {
  for (const std::uint64_t generation : {1ULL, 2ULL, 3ULL}) {
    const StoredObject a = made("a", {"o"}, "same", 2);
    const StoredObject b = made("b", {"p"}, "same", generation);
    const bool b_stays = generation >= 2;  // the digest decides between equal generations
    EXPECT_EQ(judge(&a, b), b_stays ? Judgement::Theirs : Judgement::Mine);
    EXPECT_EQ(judge(&b, a), b_stays ? Judgement::Mine : Judgement::Theirs);
  }
  const StoredObject kept = made("a", {"o"}, "same", 2);
  const StoredObject deleted = made("b", {"o"}, "same", 2, true);
  EXPECT_EQ(judge(&kept, deleted), Judgement::Conflict);
}

TEST(PlanExchange, WalksEveryCaseOfOneObject) {
  const std::vector<std::string> history{"c", "b", "a"};
  const auto plan = [&](bool is_for_peer, const std::string& rival, std::vector<Entry> theirs) {
    return plan_exchange({{.key = kDb, .history = history, .is_for_peer = is_for_peer, .known_rival = rival}}, theirs);
  };
  for (const bool is_for_peer : {true, false}) {
    EXPECT_EQ(plan(is_for_peer, "", {{kDb, "c"}}), (ExchangePlan{.settled = {kDb}}));
    EXPECT_EQ(plan(is_for_peer, "", {{kDb, "a"}}), (ExchangePlan{.push = {kDb}, .settled = {kDb}}));
    EXPECT_EQ(plan(is_for_peer, "", {{kDb, "x"}}), (ExchangePlan{.fetch = {kDb}}));
    EXPECT_EQ(plan(is_for_peer, "x", {{kDb, "x"}}), ExchangePlan{});
    EXPECT_EQ(plan(is_for_peer, "x", {{kDb, "y"}}), (ExchangePlan{.fetch = {kDb}}));
  }
  EXPECT_EQ(plan(true, "", {}), (ExchangePlan{.push = {kDb}}));
  EXPECT_EQ(plan(false, "", {}), ExchangePlan{});
  EXPECT_EQ(plan_exchange({}, {{kDb, "x"}}), (ExchangePlan{.fetch = {kDb}}));
}

TEST(Summary, SaysWhatIsForThePeerAndWhatItMentioned) {
  const std::vector<std::string> history{"a"};
  const ObjectKey web{Kind::Module, "web"};
  const std::vector<Mine> mine = {{.key = kDb, .history = history, .is_for_peer = true}, {.key = web, .history = history}};
  EXPECT_THAT(summary(mine, {}), ElementsAre(Entry{kDb, "a"}));
  EXPECT_THAT(summary(mine, {web}), ElementsAre(Entry{kDb, "a"}, Entry{web, "a"}));
}

TEST(Messages, RoundTripAndRefuseEveryTruncation) {
  const std::vector<Entry> entries{{kDb, "0123"}, {store::kClusterKey, "4567"}};
  EXPECT_EQ(parse_entries(to_body(entries)).value(), entries);
  StoredObject stored = made("b", {"a"}, "spec", 7, true);
  stored.object.author = "root";
  stored.object.origin = NodeName{"node1"};
  stored.object.time = WallTime{42};
  const std::string body = to_body(Parcel{.objects = {stored}, .wanted = {kDb}});
  const auto parcel = parse_parcel(body);
  ASSERT_TRUE(parcel.has_value());
  EXPECT_THAT(parcel->objects, ElementsAre(stored));
  EXPECT_THAT(parcel->wanted, ElementsAre(kDb));
  for (std::size_t size = 0; size < body.size(); ++size) EXPECT_FALSE(parse_parcel(body.substr(0, size)).has_value()) << size;
  const std::string small = to_body(entries);
  for (std::size_t size = 0; size < small.size(); ++size) EXPECT_FALSE(parse_entries(small.substr(0, size)).has_value());
  EXPECT_EQ(parse_entries("\x09zzz").error().code, Code::Unsupported);
}

TEST(Messages, AParcelTooLargeLeavesTheRestForTheNextRound) {
  const StoredObject big = made("b", {}, std::string(6U << 20, 'x'));
  const auto parcel = parse_parcel(to_body(Parcel{.objects = {big, big, big, big}}));
  ASSERT_TRUE(parcel.has_value());
  EXPECT_EQ(parcel->objects.size(), 2U);
}

}  // namespace
}  // namespace safekit::peer
