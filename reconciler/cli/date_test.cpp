#include "reconciler/cli/date.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <ctime>

namespace safekit::cli {
namespace {

TEST(Date, AllFormsInLocalTimeAndInUtc) {
  ASSERT_EQ(::setenv("TZ", "XST-2", 1), 0);  // two hours east
  ::tzset();
  constexpr std::int64_t kNoon = 1795867200'000'000'000;  // 2026-11-28 12:00:00Z
  constexpr std::int64_t kHour = 3600'000'000'000;
  EXPECT_EQ(parse_date("2026-11-28 12:00:00Z")->ns, kNoon);
  EXPECT_EQ(parse_date("2026-11-28T12:00:00Z")->ns, kNoon);
  EXPECT_EQ(parse_date("2026-11-28Z")->ns, kNoon - 12 * kHour);
  EXPECT_EQ(parse_date("2026-11-28 12:00:00")->ns, kNoon - 2 * kHour);
  EXPECT_EQ(parse_date("2026-11-28T12:00:00")->ns, kNoon - 2 * kHour);
  EXPECT_EQ(parse_date("2026-11-28")->ns, kNoon - 14 * kHour);
  for (const char* wrong : {"", "Z", "tomorrow", "2026-11", "2026-13-01", "2026-02-30", "2026-11-28 25:00:00", "2026-11-28 12:00", "1960-01-01"}) {
    EXPECT_FALSE(parse_date(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace safekit::cli
