#include "schema/codec/suggest.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace safekit::codec {
namespace {

constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kListedMax = 16;

std::string folded(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kNameBytesMax)) {
    if (c == '_' || c == '-') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

/// Insertions, deletions, changes and swaps of neighbours that turn one into the other.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view wrong, const std::vector<std::string_view>& candidates) {
  const std::string from = folded(wrong);
  std::string_view best;
  std::size_t best_cost = std::max<std::size_t>(1, from.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t cost = distance(from, folded(candidate));
    if (cost < best_cost) {
      best = candidate;
      best_cost = cost;
    }
  }
  return std::string{best};
}

std::string suggestion(std::string_view wrong, const std::vector<std::string_view>& candidates) {
  if (const std::string near = nearest(wrong, candidates); !near.empty()) {
    return fmt::format("did you mean '{}'?", near);
  }
  if (candidates.empty() || candidates.size() > kListedMax) return {};
  return fmt::format("one of {}", fmt::join(candidates, ", "));
}

}  // namespace safekit::codec
