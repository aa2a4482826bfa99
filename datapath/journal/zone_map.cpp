#include "datapath/journal/zone_map.h"

#include <bit>

#include "datapath/journal/record.h"

namespace safekit::journal {

namespace {
constexpr std::uint32_t kMagic = 0x4d5a4b53;  // "SKZM"
constexpr std::uint32_t kVersion = 1;
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
    out.u8(static_cast<std::uint8_t>((marks.attributes ? 1 : 0) | (marks.entries ? 2 : 0) | (marks.whole ? 4 : 0)));
    out.u32(static_cast<std::uint32_t>(marks.zones.size()));
    for (const auto& [group, bits] : marks.zones) {
      out.u64(group);
      out.u64(bits);
    }
  }
  return seal_record(kMagic, kVersion, out.bytes());
}

Result<ZoneMap> ZoneMap::decode(BytesView bytes, DataGeneration generation) {
  SK_TRY(const BytesView body, open_record(kMagic, kVersion, bytes));
  ByteReader in{body};
  const DataGeneration written{in.u64()};
  ZoneMap map{in.u32()};
  map.overflown_ = in.u8() != 0;
  const std::uint64_t count = in.u64();
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    const std::string handle = in.text(4096);
    const std::uint8_t flags = in.u8();
    InodeMarks& marks = map.inode(handle);
    marks.attributes = (flags & 1) != 0;
    marks.entries = (flags & 2) != 0;
    marks.whole = (flags & 4) != 0;
    const std::uint32_t groups = in.u32();
    for (std::uint32_t k = 0; k < groups && in.ok(); ++k) {
      const std::uint64_t group = in.u64();
      marks.zones[group] = in.u64();
      ++map.groups_;
    }
  }
  if (!in.ok() || !in.at_end() || map.zone_bytes_ == 0) return Error{Code::Corrupt, "zone map with a wrong length"};
  if (written != generation) return Error{Code::Corrupt, "zone map of another data generation"};
  if (map.groups_ > kGroupsMax) map.set_overflown();
  return map;
}

}  // namespace safekit::journal
