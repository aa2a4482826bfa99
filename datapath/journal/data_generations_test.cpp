#include "datapath/journal/data_generations.h"

#include <gtest/gtest.h>

namespace safekit::journal {
namespace {

struct Row {
  std::string_view label{};
  DataGenerations mine{};
  DataGenerations peer{};
  Relation expected{};
};

TEST(DataGenerations, Table) {
  const std::vector<Row> rows{
      {"first contact", {}, {}, Relation::BothNew},
      {"peer is empty", {{5}, {}, {}}, {}, Relation::PeerIsOlder},
      {"mine is empty", {}, {{5}, {}, {}}, Relation::MineIsOlder},
      {"in sync", {{5}, {}, {{4}}}, {{5}, {}, {{4}}}, Relation::Same},
      {"I wrote alone", {{6}, {5}, {{5}}}, {{5}, {}, {}}, Relation::PeerIsBase},
      {"I wrote alone twice", {{7}, {5}, {{6}, {5}}}, {{5}, {}, {}}, Relation::PeerIsBase},
      {"peer stopped in my first period", {{7}, {5}, {{6}, {5}}}, {{6}, {}, {}}, Relation::PeerIsOlder},
      {"peer is far behind", {{7}, {6}, {{6}, {5}, {4}}}, {{4}, {}, {}}, Relation::PeerIsOlder},
      {"peer wrote alone", {{5}, {}, {}}, {{6}, {5}, {{5}}}, Relation::MineIsOlder},
      {"both wrote", {{6}, {5}, {{5}}}, {{7}, {5}, {{5}}}, Relation::Diverged},
      {"both wrote, older common", {{6}, {5}, {{5}, {4}}}, {{9}, {8}, {{8}, {4}}}, Relation::Diverged},
      {"strangers", {{6}, {5}, {{5}}}, {{9}, {8}, {{8}}}, Relation::Unrelated},
      {"strangers without history", {{6}, {}, {}}, {{9}, {}, {}}, Relation::Unrelated},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(compare(row.mine, row.peer), row.expected) << row.label;
  }
}

TEST(DataGenerations, ComparisonMirrors) {
  const std::vector<DataGenerations> all{{}, {{5}, {}, {}}, {{6}, {5}, {{5}}}, {{7}, {5}, {{5}}}, {{9}, {8}, {{8}}}};
  for (const auto& a : all) {
    for (const auto& b : all) {
      const Relation there = compare(a, b);
      const Relation back = compare(b, a);
      switch (there) {
        case Relation::MineIsOlder: EXPECT_TRUE(back == Relation::PeerIsOlder || back == Relation::PeerIsBase); break;
        case Relation::PeerIsOlder:
        case Relation::PeerIsBase: EXPECT_EQ(back, Relation::MineIsOlder); break;
        case Relation::BothNew:
        case Relation::Same:
        case Relation::Diverged:
        case Relation::Unrelated: EXPECT_EQ(back, there); break;
      }
    }
  }
}

TEST(DataGenerations, AlonePeriodsKeepTheBaseAndABoundedHistory) {
  DataGenerations copy{};
  begin_alone(copy, {1});
  EXPECT_EQ(copy, (DataGenerations{{1}, {}, {}}));
  const DataGenerations peer = copy;
  for (std::uint64_t i = 2; i < 40; ++i) begin_alone(copy, {i});
  EXPECT_EQ(copy.base, DataGeneration{1});
  EXPECT_EQ(copy.history.size(), kHistoryMax);
  EXPECT_EQ(compare(copy, peer), Relation::PeerIsBase);
  end_alone(copy);
  DataGenerations other = peer;
  take_over(other, copy.current, copy.history);
  EXPECT_EQ(compare(copy, other), Relation::Same);
}

}  // namespace
}  // namespace safekit::journal
