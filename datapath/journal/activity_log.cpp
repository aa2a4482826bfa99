#include "datapath/journal/activity_log.h"

#include <algorithm>

#include "schema/base/digest.h"

namespace safekit::journal {

namespace {

constexpr std::uint32_t kMagic = 0x4c414b53;  // "SKAL"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kHeadBytes = 56;
constexpr std::size_t kRoomBytes = kBlockBytes - kHeadBytes;
constexpr std::size_t kNameBytesMax = 255;

void put_short(ByteWriter& out, std::string_view text) {
  out.u8(static_cast<std::uint8_t>(text.size()));
  out.raw(as_bytes(text));
}

std::string take_short(ByteReader& in) {
  const std::size_t size = in.u8();
  return std::string{as_text(in.raw(size))};
}

Bytes encode_entry(const ActivityEntry& entry) {
  using Kind = ActivityEntry::Kind;
  SK_ASSERT(entry.key.size() <= kKeyBytesMax && entry.parent.size() <= kKeyBytesMax && entry.name.size() <= kNameBytesMax);
  const auto encode = [&](bool with_place) {
    ByteWriter out;
    out.u8(static_cast<std::uint8_t>(entry.kind));
    put_short(out, entry.key);
    if (entry.kind == Kind::Tree) put_short(out, entry.name);
    if (entry.kind == Kind::Attributes || entry.kind == Kind::Groups) {
      put_short(out, with_place ? entry.parent : std::string_view{});
      put_short(out, with_place ? entry.name : std::string_view{});
    }
    if (entry.kind == Kind::Groups) {
      out.u64(entry.first);
      out.u32(entry.count);
    }
    return out.take();
  };
  Bytes bytes = encode(true);
  if (bytes.size() > kRoomBytes) bytes = encode(false);  // the place is only a help
  SK_ASSERT(bytes.size() <= kRoomBytes);
  return bytes;
}

bool take_entry(ByteReader& in, ActivityEntry& entry) {
  using Kind = ActivityEntry::Kind;
  const std::uint8_t kind = in.u8();
  if (kind < static_cast<std::uint8_t>(Kind::Attributes) || kind > static_cast<std::uint8_t>(Kind::Everything)) return false;
  entry.kind = static_cast<Kind>(kind);
  entry.key = take_short(in);
  if (entry.kind == Kind::Tree) entry.name = take_short(in);
  if (entry.kind == Kind::Attributes || entry.kind == Kind::Groups) {
    entry.parent = take_short(in);
    entry.name = take_short(in);
  }
  if (entry.kind == Kind::Groups) {
    entry.first = in.u64();
    entry.count = in.u32();
  }
  return in.ok() && entry.key.size() <= kKeyBytesMax && entry.parent.size() <= kKeyBytesMax;
}

Bytes seal_block(const SegmentHead& head, std::uint32_t index, std::uint32_t durable, BytesView entries) {
  ByteWriter out;
  out.u32(kMagic);
  out.u16(kVersion);
  out.u16(static_cast<std::uint16_t>(entries.size()));
  out.u32(index);
  out.u32(durable);
  out.u64(head.id);
  out.u64(head.number);
  out.u64(head.from);
  out.u32(head.zone_bytes);
  out.u64(0);
  static_assert(kHeadBytes == 4 + 4 + 2 + 2 + 4 + 4 + 8 + 8 + 8 + 4 + 8);
  out.raw(entries);
  out.raw(Bytes(kRoomBytes - entries.size()));
  ByteWriter block;
  block.u32(checksum32(out.bytes()));
  block.raw(out.bytes());
  return block.take();
}

Error damaged(std::uint64_t block) { return Error{Code::Corrupt, fmt::format("block {} is damaged", block)}; }

struct Block {
  SegmentHead head{};
  std::uint32_t durable{0};
  std::vector<ActivityEntry> entries{};
};

Result<Block> open_block(BytesView bytes, std::uint32_t index) {
  ByteReader in{bytes};
  const std::uint32_t checksum = in.u32();
  if (checksum32(bytes.subspan(4)) != checksum || in.u32() != kMagic) return damaged(index);
  const std::uint16_t version = in.u16();
  if (version > kVersion) {
    return Error{Code::Unsupported, fmt::format("has format {}, this program knows up to {}", version, kVersion)};
  }
  const std::size_t used = in.u16();
  const bool in_place = in.u32() == index;
  Block block;
  block.durable = in.u32();
  block.head.id = in.u64();
  block.head.number = in.u64();
  block.head.from = in.u64();
  block.head.zone_bytes = in.u32();
  (void)in.u64();  // room for later
  if (!in_place || used > kRoomBytes) return damaged(index);
  ByteReader entries{in.raw(used)};
  while (!entries.at_end()) {
    if (!take_entry(entries, block.entries.emplace_back())) return damaged(index);
  }
  return block;
}

}  // namespace

bool reaches(const LogPoint& log, const LogPoint& point) {
  return log.id != 0 && log.id == point.id && log.checkpoint <= point.checkpoint;
}

bool Activity::add(const ActivityEntry& entry) {
  using Kind = ActivityEntry::Kind;
  if (everything) return false;
  if (entry.kind == Kind::Everything || entries >= kEntriesMax) {
    *this = {};
    return everything = true;
  }
  ActiveInode& inode = inodes[entry.key];
  bool grown = false;
  switch (entry.kind) {
    case Kind::Attributes: grown = !std::exchange(inode.attributes, true); break;
    case Kind::Groups: grown = inode.groups.add(entry.first, entry.count); break;
    case Kind::Names: grown = !std::exchange(inode.names, true); break;
    case Kind::Tree: grown = inode.trees.insert(entry.name).second; break;
    case Kind::Everything: break;
  }
  if (inode.name.empty() && !entry.name.empty() && entry.kind != Kind::Tree) {
    inode.parent = entry.parent;
    inode.name = entry.name;
  }
  entries += grown ? 1 : 0;
  return grown;
}

void Activity::merge(const Activity& other) {
  if (other.everything) add({.kind = ActivityEntry::Kind::Everything});
  for (const ActivityEntry& entry : other.list()) add(entry);
}

std::vector<ActivityEntry> Activity::list() const {
  using Kind = ActivityEntry::Kind;
  std::vector<ActivityEntry> all;
  if (everything) all.push_back({.kind = Kind::Everything});
  for (const auto& [key, inode] : inodes) {
    const auto put = [&all, &key = key, &inode = inode](Kind kind, std::uint64_t first, std::uint32_t count) {
      all.push_back({.kind = kind, .key = key, .parent = inode.parent, .name = inode.name, .first = first, .count = count});
    };
    if (inode.attributes) put(Kind::Attributes, 0, 0);
    if (inode.names) all.push_back({.kind = Kind::Names, .key = key});
    for (const std::string& name : inode.trees) all.push_back({.kind = Kind::Tree, .key = key, .name = name});
    if (inode.groups.from != UINT64_MAX) put(Kind::Groups, inode.groups.from, 0);
    std::uint64_t begin = 0;
    std::uint32_t count = 0;
    for (const auto& [word, bits] : inode.groups.words) {
      for (unsigned bit = 0; bit < 64; ++bit) {
        if ((bits >> bit & 1) == 0) continue;
        const std::uint64_t group = word * 64 + bit;
        if (count > 0 && group != begin + count) put(Kind::Groups, begin, std::exchange(count, 0));
        if (count++ == 0) begin = group;
      }
    }
    if (count > 0) put(Kind::Groups, begin, count);
  }
  return all;
}

Bytes encode_blocks(const SegmentHead& head, std::uint32_t index, std::span<const ActivityEntry> entries) {
  std::vector<Bytes> rooms(1);
  for (const ActivityEntry& entry : entries) {
    const Bytes bytes = encode_entry(entry);
    if (rooms.back().size() + bytes.size() > kRoomBytes) rooms.emplace_back();
    rooms.back().insert(rooms.back().end(), bytes.begin(), bytes.end());
  }
  // A file gets its name when its first blocks are on disk.
  const std::uint32_t durable = index == 0 ? static_cast<std::uint32_t>(rooms.size()) : index;
  Bytes blocks;
  for (const Bytes& room : rooms) {
    const Bytes block = seal_block(head, index++, durable, room);
    blocks.insert(blocks.end(), block.begin(), block.end());
  }
  return blocks;
}

Result<Segment> decode_segment(BytesView bytes) {
  if (bytes.empty() || bytes.size() % kChunkBytes != 0 || bytes.size() > kSegmentBytesMax) {
    return Error{Code::Corrupt, "has a wrong length"};
  }
  Segment segment;
  const std::size_t count = bytes.size() / kBlockBytes;
  std::uint32_t durable = 1;
  auto missing = static_cast<std::uint32_t>(count);
  for (std::uint32_t index = 0; index < count; ++index) {
    const BytesView piece = bytes.subspan(index * kBlockBytes, kBlockBytes);
    if (std::ranges::all_of(piece, [](std::uint8_t byte) { return byte == 0; })) {
      missing = std::min(missing, index);
      continue;
    }
    SK_TRY(const Block block, open_block(piece, index));
    if (index == 0) segment.head = block.head;
    if (block.head != segment.head) return damaged(index);
    durable = std::max(durable, block.durable);
    for (const ActivityEntry& entry : block.entries) segment.activity.add(entry);
  }
  if (missing < durable) return damaged(missing);
  const SegmentHead& head = segment.head;
  if (head.id == 0 || head.from > head.number || head.zone_bytes == 0) return damaged(0);
  return segment;
}

}  // namespace safekit::journal
