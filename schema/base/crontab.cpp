#include "schema/base/crontab.h"

#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <vector>

#include <fmt/format.h>

namespace safekit {
namespace {

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kDays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Field {
  std::string_view name{};
  int first{0};
  int last{0};
  std::span<const std::string_view> names{};  ///< of the values from `first` on
};
constexpr std::array kFields{Field{"minute", 0, 59, {}}, Field{"hour", 0, 23, {}}, Field{"day", 1, 31, {}},
                             Field{"month", 1, 12, kMonths}, Field{"weekday", 0, 7, kDays}};

std::vector<std::string_view> split(std::string_view text, std::string_view separators, bool keeps_empty) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find_first_of(separators);
    const std::string_view part = text.substr(0, end);
    if (keeps_empty || !part.empty()) parts.push_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool same_word(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<int> value_of(const Field& field, std::string_view text) {
  for (std::size_t i = 0; i < field.names.size(); ++i) {
    if (same_word(text, field.names[i])) return field.first + static_cast<int>(i);
  }
  const auto value = number(text);
  return value && *value >= field.first && *value <= field.last ? value : std::nullopt;
}

/// `*`, `5`, `1-5`, each perhaps with a step behind a slash; calls `set` for each value. False: it is none of them.
template <class Set>
bool take_item(const Field& field, std::string_view item, Set set) {
  const auto halves = split(item, "/", true);
  if (halves.size() > 2) return false;
  const auto step = halves.size() == 2 ? number(halves[1]) : std::optional{1};
  if (!step || *step == 0) return false;
  int first = field.first;
  int last = field.last;
  if (halves[0] != "*") {
    const auto ends = split(halves[0], "-", true);
    const auto from = value_of(field, ends[0]);
    const auto to = ends.size() == 2 ? value_of(field, ends[1]) : from;
    // A step needs something to go through.
    if (ends.size() > 2 || !from || !to || *to < *from || (halves.size() == 2 && ends.size() == 1)) return false;
    first = *from;
    last = *to;
  }
  for (int value = first; value <= last; value += *step) set(static_cast<std::size_t>(value));
  return true;
}

template <class Set>
Status take_field(const Field& field, std::string_view text, Set set) {
  for (const std::string_view item : split(text, ",", true)) {
    if (take_item(field, item, set)) continue;
    return Error{Code::Invalid, fmt::format("'{}' is no {} of a crontab ({} to {})", item, field.name, field.first, field.last)};
  }
  return {};
}

std::string_view written_out(std::string_view text) {
  if (text == "@hourly") return "0 * * * *";
  if (text == "@daily" || text == "@midnight") return "0 0 * * *";
  if (text == "@weekly") return "0 0 * * 0";
  if (text == "@monthly") return "0 0 1 * *";
  if (text == "@yearly" || text == "@annually") return "0 0 1 1 *";
  return text;
}

}  // namespace

Result<Crontab> Crontab::parse(std::string_view text) {
  std::vector<std::string_view> words = split(text, " \t", false);
  if (words.size() == 1) words = split(written_out(words[0]), " ", false);
  if (words.size() != kFields.size()) return Error{Code::Invalid, "it has not the five fields of crontab"};
  Crontab made;
  SK_TRY_VOID(take_field(kFields[0], words[0], [&](std::size_t value) { made.minutes_.set(value); }));
  SK_TRY_VOID(take_field(kFields[1], words[1], [&](std::size_t value) { made.hours_.set(value); }));
  SK_TRY_VOID(take_field(kFields[2], words[2], [&](std::size_t value) { made.days_.set(value); }));
  SK_TRY_VOID(take_field(kFields[3], words[3], [&](std::size_t value) { made.months_.set(value); }));
  SK_TRY_VOID(take_field(kFields[4], words[4], [&](std::size_t value) { made.weekdays_.set(value % 7); }));
  made.either_day_ = !words[2].starts_with('*') && !words[4].starts_with('*');
  return made;
}

bool Crontab::names(const CalendarMinute& at) const {
  const auto has = [](const auto& set, int value) { return value >= 0 && set.test(static_cast<std::size_t>(value)); };
  if (!has(minutes_, at.minute) || !has(hours_, at.hour) || !has(months_, at.month)) return false;
  const bool day = has(days_, at.day);
  const bool weekday = has(weekdays_, at.weekday);
  return either_day_ ? day || weekday : day && weekday;
}

}  // namespace safekit
