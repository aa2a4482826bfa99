#include "datapath/journal/group_set.h"

#include <algorithm>

namespace safekit::journal {

bool GroupSet::add(std::uint64_t first, std::uint64_t count) {
  if (first >= kGroupsOfOneMax || count > kGroupsOfOneMax - first) count = 0;
  bool grown = false;
  if (count == 0) {
    if (first >= from) return false;
    from = first;
    words.erase(words.upper_bound(first / 64), words.end());
    const auto last = words.find(first / 64);
    if (last == words.end()) return true;
    last->second &= (1ULL << (first % 64)) - 1;
    if (last->second == 0) words.erase(last);
    return true;
  }
  const std::uint64_t end = std::min(first + count, from);
  for (std::uint64_t group = first; group < end;) {
    const std::uint64_t upto = std::min(end, (group / 64 + 1) * 64);
    const std::uint64_t bits = ~0ULL >> (64 - (upto - group)) << (group % 64);
    std::uint64_t& word = words[group / 64];
    grown = grown || (word & bits) != bits;
    word |= bits;
    group = upto;
  }
  return grown;
}

void GroupSet::merge(const GroupSet& other) {
  if (other.from != UINT64_MAX) add(other.from, 0);
  for (const auto& [word, bits] : other.words) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((bits >> bit & 1) != 0) add(word * 64 + bit, 1);
    }
  }
}

bool GroupSet::contains(std::uint64_t group) const {
  if (group >= from) return true;
  const auto found = words.find(group / 64);
  return found != words.end() && (found->second >> (group % 64) & 1) != 0;
}

}  // namespace safekit::journal
