#include "reconciler/engine/decision_log.h"

#include <algorithm>

namespace safekit::engine {

void DecisionLog::record(std::string_view controller, const std::string& key, WallTime time, std::string text) {
  if (text.size() > kTextBytesMax) text.resize(kTextBytesMax);
  std::pair<std::string, std::string> name{controller, key};
  if (!entries_.contains(name) && entries_.size() >= kKeysMax) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
      return a.second.back().time < b.second.back().time;
    });
    entries_.erase(oldest);
  }
  std::deque<Entry>& kept = entries_[std::move(name)];
  if (!kept.empty() && kept.back().text == text) {
    kept.back().time = time;
    ++kept.back().repeated;
    return;
  }
  kept.push_back({.time = time, .text = std::move(text)});
  if (kept.size() > kEntriesMaxPerKey) kept.pop_front();
}

std::vector<DecisionLog::Entry> DecisionLog::of(std::string_view controller, const std::string& key) const {
  const auto found = entries_.find({std::string{controller}, key});
  if (found == entries_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

}  // namespace safekit::engine
