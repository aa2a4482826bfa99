#include "datapath/lost/claim.h"

#include <algorithm>
#include <cstring>

namespace safekit::lost {

namespace {

using journal::Relation;

/// safekitd's store is on that disk too, and stops a cluster when it is full.
constexpr std::uint64_t kReserveBytesMax = 64U << 20;
constexpr std::uint64_t kReservePart = 10;  ///< of the file system: one tenth, where that is less

}  // namespace

void Ranges::add(Range range) {
  if (range.begin >= range.end) return;
  auto at = parts_.upper_bound(range.begin);
  if (at != parts_.begin() && std::prev(at)->second >= range.begin) --at;
  while (at != parts_.end() && at->first <= range.end) {
    range.begin = std::min(range.begin, at->first);
    range.end = std::max(range.end, at->second);
    at = parts_.erase(at);
  }
  parts_[range.begin] = range.end;
}

std::vector<Range> Ranges::missing(Range range) const {
  std::vector<Range> found;
  auto at = parts_.upper_bound(range.begin);
  if (at != parts_.begin()) --at;
  for (; at != parts_.end() && at->first < range.end && range.begin < range.end; ++at) {
    if (at->first > range.begin) found.push_back({range.begin, at->first});
    range.begin = std::max(range.begin, at->second);
  }
  if (range.begin < range.end) found.push_back(range);
  return found;
}

bool loses_writes(Relation relation) {
  switch (relation) {
    case Relation::BothNew:
    case Relation::Same:
    case Relation::MineIsOlder: return false;
    case Relation::PeerIsBase:
    case Relation::PeerIsOlder:
    case Relation::Diverged:
    case Relation::Unrelated: return true;
  }
  return true;
}

bool map_tells(const journal::DataGenerations& mine, const journal::DataGenerations& winner) {
  const DataGeneration base = mine.base;
  return base.value != 0 && (winner.current == base || winner.base == base ||
                             std::ranges::find(winner.history, base) != winner.history.end());
}

journal::ZoneMap changed_by_others(const journal::Activity& changes, std::uint32_t zone_bytes) {
  journal::ZoneMap map{zone_bytes};
  if (changes.everything) map.set_overflown();
  for (const auto& [key, inode] : changes.inodes) {
    journal::InodeMarks& marks = map.inode(key);
    marks.attributes = true;
    marks.entries = inode.names;
    marks.whole = !inode.groups.empty();
  }
  return map;
}

const journal::InodeMarks* Own::marks(const std::string& handle) const {
  const auto found = map_->inodes().find(handle);
  return found == map_->inodes().end() ? nullptr : &found->second;
}

bool Own::is_touched(const std::string& handle) const {
  if (!map_) return true;
  const auto* seen = marks(handle);
  return seen != nullptr && (seen->whole || seen->attributes || !seen->zones.empty());
}

bool Own::are_names(const std::string& directory) const {
  if (!map_) return true;
  const auto* seen = marks(directory);
  return seen != nullptr && (seen->entries || seen->whole);
}

std::vector<Range> Own::content(const std::string& handle, Range range) const {
  if (range.begin >= range.end) return {};
  if (!map_) return {range};
  const auto* seen = marks(handle);
  if (seen == nullptr) return {};
  if (seen->whole) return {range};
  Ranges marked;
  const std::uint64_t zone = map_->zone_bytes();
  for (auto group = seen->zones.lower_bound(range.begin / zone / 64);
       group != seen->zones.end() && group->first * 64 * zone < range.end; ++group) {
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((group->second >> bit & 1) == 0) continue;
      const std::uint64_t begin = (group->first * 64 + bit) * zone;
      marked.add({std::max(begin, range.begin), std::min(begin + zone, range.end)});
    }
  }
  // What is marked is what is missing in the rest.
  Ranges rest;
  for (const Range& gap : marked.missing(range)) rest.add(gap);
  return rest.missing(range);
}

Range blocks_of(Range range, std::uint64_t size) {
  const std::uint64_t begin = range.begin / kBlockBytes * kBlockBytes;
  const std::uint64_t blocks = std::min(range.end, size) / kBlockBytes;
  const std::uint64_t end = std::min(range.end, size) % kBlockBytes == 0 ? blocks * kBlockBytes : (blocks + 1) * kBlockBytes;
  return {std::min(begin, size), std::min(end, size)};
}

std::vector<Range> changed_blocks(BytesView old_bytes, std::uint64_t at, BytesView fresh, std::uint64_t fresh_at) {
  Ranges changed;
  const std::uint64_t old_end = at + old_bytes.size();
  for (std::uint64_t block = at; block < old_end; block += kBlockBytes) {
    const std::uint64_t end = std::min(block + kBlockBytes, old_end);
    const std::uint64_t from = std::max(block, fresh_at);
    const std::uint64_t to = std::min(end, fresh_at + fresh.size());
    if (from < to && std::memcmp(old_bytes.data() + (from - at), fresh.data() + (from - fresh_at), to - from) != 0) {
      changed.add({block, end});
    }
  }
  Ranges same;
  for (const Range& gap : changed.missing({at, old_end})) same.add(gap);
  return same.missing({at, old_end});
}

bool fits(const Room& room, std::uint64_t bytes) {
  const std::uint64_t reserve = std::min(kReserveBytesMax, room.total / kReservePart);
  return room.used <= room.quota && bytes <= room.quota - room.used && room.free >= reserve && bytes <= room.free - reserve;
}

}  // namespace safekit::lost
