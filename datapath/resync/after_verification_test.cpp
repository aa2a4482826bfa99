#include "datapath/resync/after_verification.h"

#include <gtest/gtest.h>

#include <optional>

namespace safekit::resync {
namespace {

/// All inputs; nothing: any.
struct Row {
  std::optional<bool> completed{}, differs{}, compared_again{};
  AfterVerification expected{};
};
constexpr Row kRows[] = {
    {.completed = false, .expected = AfterVerification::Use},
    {.completed = true, .differs = false, .expected = AfterVerification::Use},
    {.completed = true, .differs = true, .compared_again = false, .expected = AfterVerification::CompareAgain},
    {.completed = true, .differs = true, .compared_again = true, .expected = AfterVerification::GiveUp},
};

TEST(AfterVerification, EveryInputHasOneOutcome) {
  for (unsigned bits = 0; bits < 8; ++bits) {
    const VerificationResult result{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
    int rows = 0;
    for (const Row& row : kRows) {
      if (row.completed.value_or(result.completed) != result.completed) continue;
      if (row.differs.value_or(result.differs) != result.differs) continue;
      if (row.compared_again.value_or(result.compared_again) != result.compared_again) continue;
      ++rows;
      EXPECT_EQ(after_verification(result), row.expected) << bits;
    }
    EXPECT_EQ(rows, 1) << bits;
  }
}

}  // namespace
}  // namespace safekit::resync
