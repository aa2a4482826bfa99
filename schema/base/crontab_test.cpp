#include "schema/base/crontab.h"

#include <string>

#include <gtest/gtest.h>

namespace safekit {
namespace {

// Saturday, 28 November, 13:30.
constexpr CalendarMinute kAt{.minute = 30, .hour = 13, .day = 28, .month = 11, .weekday = 6};

bool names(std::string_view text, const CalendarMinute& at = kAt) {
  const auto crontab = Crontab::parse(text);
  EXPECT_TRUE(crontab.has_value()) << text << ": " << crontab.error().what;
  return crontab.has_value() && crontab->names(at);
}

}  // namespace

TEST(Crontab, NamesDates) {
  struct Row {
    const char* text{};
    bool named{false};
  };
  constexpr std::array rows{
      Row{"* * * * *", true},          Row{"30 13 28 11 6", true},       Row{"31 13 * * *", false},
      Row{"30 12 * * *", false},       Row{"*/15 * * * *", true},        Row{"*/20 * * * *", false},
      Row{"0,30 8-18 * * *", true},    Row{"1-59/2 * * * *", false},     Row{"10-50/20 13 * * *", true},
      Row{"30 13 * NOV Sat", true},    Row{"30 13 * jan-oct *", false},  Row{"30 13 * * mon-fri", false},
      Row{"30\t13  * * 6", true},      Row{"30 13 1 * *", false},        Row{"30 13 28 * 1", true},
      Row{"30 13 1 * 6", true},        Row{"30 13 1 * 1", false},        Row{"30 13 */2 * 6", false},
      Row{"@hourly", false},           Row{"@daily", false},
  };
  for (const Row& row : rows) EXPECT_EQ(names(row.text), row.named) << row.text;
  const CalendarMinute new_year{.minute = 0, .hour = 0, .day = 1, .month = 1, .weekday = 0};
  for (const char* text : {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "0 0 * * 7", "0 0 * * 0"}) {
    EXPECT_TRUE(names(text, new_year)) << text;
  }
}

TEST(Crontab, RefusesWhatIsNone) {
  for (const char* text : {"", "@reboot", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
                           "* * * * 8", "5-1 * * * *", "*/0 * * * *", "1,,2 * * * *", "1- * * * *", "-1 * * * *", "5/2 * * * *",
                           "1-2-3 * * * *", "*/2/2 * * * *", "x * * * *", "* * * nov-x *", "/SC DAILY /ST 00:01:00"}) {
    EXPECT_FALSE(Crontab::parse(text).has_value()) << text;
  }
}

}  // namespace safekit
