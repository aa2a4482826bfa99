#include "datapath/replica/marked_zones.h"

namespace safekit::replica {

std::vector<std::uint64_t> zones_of(const journal::InodeMarks& marks) {
  std::vector<std::uint64_t> zones;
  for (const auto& [group, bits] : marks.zones) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((bits >> bit & 1) != 0) zones.push_back(group * 64 + bit);
    }
  }
  return zones;
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> zones_in_doubt(const journal::GroupSet& groups) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  const auto put = [&](std::uint64_t begin, std::uint64_t end) {
    if (!ranges.empty() && ranges.back().second == begin) {
      ranges.back().second = end;
    } else {
      ranges.emplace_back(begin, end);
    }
  };
  constexpr std::uint64_t kZones = journal::kGroupZones;
  for (const auto& [word, bits] : groups.words) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((bits >> bit & 1) != 0) put((word * 64 + bit) * kZones, (word * 64 + bit + 1) * kZones);
    }
  }
  if (groups.from < UINT64_MAX / kZones) put(groups.from * kZones, UINT64_MAX);
  return ranges;
}

}  // namespace safekit::replica
