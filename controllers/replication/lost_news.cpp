#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "controllers/replication/plan.h"

namespace safekit::replication {
namespace {

constexpr const char* kCondition = "LostWrites";

bool is_worth_a_word(const lost::Summary& set) {
  return set.items != 0 || set.missed_items != 0;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in{text};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::string figures_of(std::uint64_t items, std::uint64_t bytes, std::uint64_t missed) {
  std::string text = fmt::format("{} items, {} bytes", items, bytes);
  if (missed != 0) text += fmt::format("; {} bytes more found no room or could not be read, and are lost", missed);
  return text;
}

}  // namespace

LostNews lost_news(const std::string& module, const std::vector<lost::Summary>& sets, const std::string& told) {
  LostNews news;
  const auto before = words_of(told);
  std::size_t count = 0;
  std::uint64_t items = 0;
  std::uint64_t bytes = 0;
  std::uint64_t missed = 0;
  for (const lost::Summary& set : sets) {
    if (!is_worth_a_word(set)) continue;
    ++count;
    items += set.items;
    bytes += set.bytes;
    missed += set.missed_bytes;
    if (set.ended == WallTime{}) continue;
    news.told += (news.told.empty() ? "" : " ") + set.name;
    if (std::ranges::find(before, set.name) != before.end()) continue;
    news.lines.push_back({"rfsplug", 'E',
                          fmt::format("{} was overwritten by the copy of {} and is set aside: {} (safekit lost-writes show {} -m {})",
                                      set.by_others ? "What others changed in this node's copy while it was not served"
                                                    : "What this node wrote alone",
                                      set.peer, figures_of(set.items, set.bytes, set.missed_bytes), set.name, module)});
  }
  if (count == 0) return news;
  news.condition = status::Condition{
      .type = kCondition,
      .is_true = true,
      .reason = missed == 0 ? "SetAside" : "PartlyLost",
      .message = fmt::format("what only this node's copy had was overwritten and lies aside in {} set{}: {}; see `safekit lost-writes list "
                             "-m {}`, take back what is needed with restore, then purge", count, count == 1 ? "" : "s",
                             figures_of(items, bytes, missed), module)};
  return news;
}

}  // namespace safekit::replication
