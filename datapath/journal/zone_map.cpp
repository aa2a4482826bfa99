#include "datapath/journal/zone_map.h"

#include <bit>

#include "datapath/journal/record.h"

namespace safekit::journal {

namespace {
constexpr std::uint32_t kMagic = 0x4d5a4b53;  // "SKZM"
constexpr std::uint32_t kVersion = 2;

/// Numbers above `number_max` stand for nothing that a file can have: what is made of them would be other zones.
void take_words(ByteReader& in, std::uint64_t number_max, std::map<std::uint64_t, std::uint64_t>& words, std::size_t& groups) {
  const std::uint32_t count = in.u32();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const std::uint64_t number = in.u64();
    if (number > number_max) (void)in.raw(SIZE_MAX);  // marks the reader as failed
    words[number] = in.u64();
    ++groups;
  }
}

void take_doubtful(ByteReader& in, InodeMarks& marks, std::size_t& groups) {
  marks.doubtful.from = in.u64();
  take_words(in, kGroupsOfOneMax / 64 - 1, marks.doubtful.words, groups);
  const std::uint32_t trees = in.u32();
  for (std::uint32_t i = 0; i < trees && in.ok(); ++i) marks.trees.insert(in.text(255));
  marks.parent = in.text(4096);
  marks.name = in.text(255);
}
}  // namespace

InodeMarks& ZoneMap::inode(const std::string& handle) {
  if (overflown_) return scratch_;
  const auto found = inodes_.find(handle);
  if (found != inodes_.end()) return found->second;
  if (inodes_.size() >= kInodesMax) {
    set_overflown();
    return scratch_;
  }
  return inodes_[handle];
}

void ZoneMap::mark(const std::string& handle, std::uint64_t offset, std::uint64_t size) {
  InodeMarks& marks = inode(handle);
  if (overflown_ || marks.whole || size == 0) return;
  const std::uint64_t end = size > UINT64_MAX - offset ? UINT64_MAX : offset + size;
  const std::uint64_t first = offset / zone_bytes_;
  const std::uint64_t last = (end - 1) / zone_bytes_;
  if (last - first > 64 * kGroupsMax / 8) {
    marks.whole = true;  // a punch over terabytes: comparing the file is cheaper than its bitmap
    return;
  }
  for (std::uint64_t zone = first; zone <= last;) {
    const std::uint64_t group = zone / 64;
    const std::uint64_t upto = std::min(last, group * 64 + 63);
    const std::uint64_t count = upto - zone + 1;
    const std::uint64_t bits = count == 64 ? ~0ULL : ((1ULL << count) - 1) << (zone % 64);
    const auto [place, made] = marks.zones.try_emplace(group, 0);
    place->second |= bits;
    if (made && ++groups_ > kGroupsMax) {
      set_overflown();
      return;
    }
    zone = upto + 1;
  }
}

void ZoneMap::add(const std::string& handle, const ActiveInode& active) {
  InodeMarks& marks = inode(handle);
  if (overflown_) return;
  marks.attributes = marks.attributes || active.attributes || !active.groups.empty();
  marks.entries = marks.entries || active.names;
  marks.children = marks.children || active.names;
  marks.trees.insert(active.trees.begin(), active.trees.end());
  const std::size_t before = marks.doubtful.words.size();
  marks.doubtful.merge(active.groups);
  groups_ += marks.doubtful.words.size() - std::min(before, marks.doubtful.words.size());
  if (marks.name.empty()) {
    marks.parent = active.parent;
    marks.name = active.name;
  }
  if (groups_ > kGroupsMax) set_overflown();
}

void ZoneMap::merge(const ZoneMap& other) {
  if (other.overflown_) set_overflown();
  for (const auto& [handle, theirs] : other.inodes_) {
    add(handle, {.attributes = theirs.attributes, .groups = theirs.doubtful, .parent = theirs.parent, .name = theirs.name});
    InodeMarks& marks = inode(handle);
    if (overflown_) return;
    marks.entries = marks.entries || theirs.entries;
    marks.whole = marks.whole || theirs.whole;
    marks.children = marks.children || theirs.children;
    marks.trees.insert(theirs.trees.begin(), theirs.trees.end());
    for (const auto& [group, bits] : theirs.zones) {
      const auto [place, made] = marks.zones.try_emplace(group, 0);
      place->second |= bits;
      groups_ += made ? 1 : 0;
    }
  }
  if (groups_ > kGroupsMax) set_overflown();
}

void ZoneMap::set_overflown() {
  overflown_ = true;
  inodes_.clear();
  groups_ = 0;
}

void ZoneMap::clear() {
  overflown_ = false;
  inodes_.clear();
  groups_ = 0;
  scratch_ = {};
}

std::uint64_t ZoneMap::zone_count() const {
  std::uint64_t count = 0;
  for (const auto& [handle, marks] : inodes_) {
    for (const auto& [group, bits] : marks.zones) count += static_cast<std::uint64_t>(std::popcount(bits));
  }
  return count;
}

Bytes ZoneMap::encode(DataGeneration generation) const {
  ByteWriter out;
  out.u64(generation.value);
  out.u32(zone_bytes_);
  out.u8(overflown_ ? 1 : 0);
  out.u64(inodes_.size());
  for (const auto& [handle, marks] : inodes_) {
    out.text(handle);
    out.u8(static_cast<std::uint8_t>((marks.attributes ? 1 : 0) | (marks.entries ? 2 : 0) | (marks.whole ? 4 : 0) |
                                    (marks.children ? 8 : 0)));
    out.u32(static_cast<std::uint32_t>(marks.zones.size()));
    for (const auto& [group, bits] : marks.zones) {
      out.u64(group);
      out.u64(bits);
    }
    out.u64(marks.doubtful.from);
    out.u32(static_cast<std::uint32_t>(marks.doubtful.words.size()));
    for (const auto& [word, bits] : marks.doubtful.words) {
      out.u64(word);
      out.u64(bits);
    }
    out.u32(static_cast<std::uint32_t>(marks.trees.size()));
    for (const std::string& name : marks.trees) out.text(name);
    out.text(marks.parent);
    out.text(marks.name);
  }
  return seal_record(kMagic, kVersion, out.bytes());
}

Result<ZoneMap> ZoneMap::decode(BytesView bytes, DataGeneration generation) {
  SK_TRY(const BytesView body, open_record(kMagic, kVersion, bytes));
  // Only a shortcut is lost by refusing the older format; what it leaves out may not be guessed.
  if (ByteReader head{bytes.subspan(4)}; head.u32() != kVersion) return Error{Code::Corrupt, "zone map of an older format"};
  ByteReader in{body};
  const DataGeneration written{in.u64()};
  ZoneMap map{in.u32()};
  map.overflown_ = in.u8() != 0;
  const std::uint64_t count = in.u64();
  if (map.zone_bytes_ == 0) return Error{Code::Corrupt, "zone map without a zone size"};
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    const std::string handle = in.text(4096);
    const std::uint8_t flags = in.u8();
    InodeMarks& marks = map.inode(handle);
    marks.attributes = (flags & 1) != 0;
    marks.entries = (flags & 2) != 0;
    marks.whole = (flags & 4) != 0;
    marks.children = (flags & 8) != 0;
    take_words(in, UINT64_MAX / 64 / map.zone_bytes_, marks.zones, map.groups_);
    take_doubtful(in, marks, map.groups_);
  }
  if (!in.ok() || !in.at_end()) return Error{Code::Corrupt, "zone map that cannot be read"};
  if (written != generation) return Error{Code::Corrupt, "zone map of another data generation"};
  if (map.groups_ > kGroupsMax) map.set_overflown();
  return map;
}

}  // namespace safekit::journal
