#include "datapath/replica/inspection.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

TEST(Inspection, WhatDiffersIsNamedAsALogWouldNameIt) {
  const std::vector<CopyDifference> differences{{{0, ""}, wire::kMtime},
                                                {{0, "d"}, wire::kMode | wire::kOwner},
                                                {{0, "d/big"}, wire::kContent},
                                                {{0, "d/gone"}, wire::kMissing},
                                                {{0, "d/more"}, wire::kAdditional},
                                                {{1, "link"}, wire::kMtime | wire::kTarget},
                                                {{1, "x/y/grown"}, wire::kSize | wire::kMtime}};
  EXPECT_EQ(to_entries(differences),
            (std::vector<wire::ActiveEntry>{{.at = {0, ""}, .attributes = true},
                                            {.at = {0, "d"}, .attributes = true},
                                            {.at = {0, "d/big"}, .attributes = true, .groups_from = 0},
                                            {.at = {0, "d"}, .attributes = true, .names = true, .trees = {"gone", "more"}},
                                            {.at = {1, ""}, .attributes = true, .names = true, .trees = {"link"}},
                                            {.at = {1, "x/y/grown"}, .attributes = true, .groups_from = 0}}));
}

TEST(Inspection, WhoMakesWayForWhom) {
  using Cause = Inspection::Cause;
  for (const Cause under_way : {Cause::Asked, Cause::Schedule, Cause::Resync}) {
    EXPECT_FALSE(gives_way(under_way, Cause::Schedule));
    EXPECT_TRUE(gives_way(under_way, Cause::Resync)) << "the secondary waits for it";
    EXPECT_EQ(gives_way(under_way, Cause::Asked), under_way == Cause::Schedule);
  }
}

}  // namespace
}  // namespace safekit::replica
