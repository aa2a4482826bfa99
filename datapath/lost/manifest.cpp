#include "datapath/lost/manifest.h"

#include <algorithm>

#include "datapath/journal/record.h"
#include "schema/base/digest.h"

namespace safekit::lost {

namespace {

constexpr std::uint32_t kMagic = 0x4d574c53;         // "SLWM"
constexpr std::uint32_t kSummaryMagic = 0x53574c53;  // "SLWS"
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kSummaryVersion = 2;
constexpr std::uint8_t kOnlyOwn = 1;
constexpr std::uint8_t kByOthers = 2;
constexpr std::size_t kBeginBytes = 8;
constexpr std::size_t kRootsMax = 1024;
constexpr std::size_t kXattrsMax = 4096;

enum class Type : std::uint8_t { Head = 1, Item, Piece, Removed, Name, End };

void put(ByteWriter& out, const Head& head) {
  out.u8(static_cast<std::uint8_t>(Type::Head));
  out.text(head.module);
  out.text(head.node);
  out.text(head.peer);
  out.u64(head.lost.value);
  out.u64(head.kept.value);
  out.i64(head.begun.ns);
  out.u8(static_cast<std::uint8_t>((head.only_own ? kOnlyOwn : 0) | (head.by_others ? kByOthers : 0)));
  out.u32(static_cast<std::uint32_t>(head.roots.size()));
  for (const std::string& root : head.roots) out.text(root);
}

void put(ByteWriter& out, const Item& item) {
  out.u8(static_cast<std::uint8_t>(Type::Item));
  out.u64(item.number);
  out.u8(static_cast<std::uint8_t>(item.kind));
  out.text(item.handle);
  out.u32(item.root);
  out.text(item.path);
  const wire::Attributes& attributes = item.attributes;
  for (const std::uint32_t number : {attributes.mode, attributes.uid, attributes.gid}) out.u32(number);
  out.u64(attributes.device);
  out.u64(attributes.size);
  out.i64(attributes.mtime.seconds);
  out.u32(attributes.mtime.nanoseconds);
  out.text(item.link_target);
  out.u32(static_cast<std::uint32_t>(item.xattrs.size()));
  for (const auto& [name, value] : item.xattrs) {
    out.text(name);
    out.text(value);
  }
}

void put(ByteWriter& out, const Piece& piece) {
  out.u8(static_cast<std::uint8_t>(Type::Piece));
  for (const std::uint64_t number : {piece.item, piece.offset, piece.size, piece.at}) out.u64(number);
  out.u8(static_cast<std::uint8_t>(piece.state));
}

void put(ByteWriter& out, const Removed& removed) {
  out.u8(static_cast<std::uint8_t>(Type::Removed));
  out.u64(removed.item);
}

void put(ByteWriter& out, const Name& name) {
  out.u8(static_cast<std::uint8_t>(Type::Name));
  out.u64(name.item);
  out.u32(name.root);
  out.text(name.path);
}

void put(ByteWriter& out, const End& end) {
  out.u8(static_cast<std::uint8_t>(Type::End));
  out.i64(end.ended.ns);
  out.u64(end.unlisted);
}

Head take_head(ByteReader& in) {
  Head head;
  head.module = in.text();
  head.node = in.text();
  head.peer = in.text();
  head.lost.value = in.u64();
  head.kept.value = in.u64();
  head.begun.ns = static_cast<std::int64_t>(in.u64());
  const std::uint8_t flags = in.u8();
  head.only_own = (flags & kOnlyOwn) != 0;
  head.by_others = (flags & kByOthers) != 0;
  const std::uint32_t roots = in.u32();
  for (std::uint32_t i = 0; i < roots && i < kRootsMax && in.ok(); ++i) head.roots.push_back(in.text());
  return head;
}

Item take_item(ByteReader& in) {
  Item item;
  item.number = in.u64();
  item.kind = static_cast<Kind>(std::min<std::uint8_t>(in.u8(), static_cast<std::uint8_t>(Kind::Absent)));
  item.handle = in.text();
  item.root = in.u32();
  item.path = in.text();
  wire::Attributes& attributes = item.attributes;
  for (std::uint32_t* number : {&attributes.mode, &attributes.uid, &attributes.gid}) *number = in.u32();
  attributes.device = in.u64();
  attributes.size = in.u64();
  attributes.mtime.seconds = static_cast<std::int64_t>(in.u64());
  attributes.mtime.nanoseconds = in.u32();
  item.link_target = in.text();
  const std::uint32_t count = in.u32();
  for (std::uint32_t i = 0; i < count && i < kXattrsMax && in.ok(); ++i) {
    std::string name = in.text();
    std::string value = in.text();
    item.xattrs.emplace_back(std::move(name), std::move(value));
  }
  return item;
}

Piece take_piece(ByteReader& in) {
  Piece piece;
  for (std::uint64_t* number : {&piece.item, &piece.offset, &piece.size, &piece.at}) *number = in.u64();
  piece.state = static_cast<PieceState>(std::min<std::uint8_t>(in.u8(), static_cast<std::uint8_t>(PieceState::Unreadable)));
  return piece;
}

std::optional<Record> decode_record(BytesView body) {
  ByteReader in{body};
  std::optional<Record> record;
  switch (static_cast<Type>(in.u8())) {
    case Type::Head: record = take_head(in); break;
    case Type::Item: record = take_item(in); break;
    case Type::Piece: record = take_piece(in); break;
    case Type::Removed: record = Removed{in.u64()}; break;
    case Type::Name: {
      Name name;
      name.item = in.u64();
      name.root = in.u32();
      name.path = in.text();
      record = std::move(name);
      break;
    }
    case Type::End: {
      End end;
      end.ended.ns = static_cast<std::int64_t>(in.u64());
      end.unlisted = in.u64();
      record = end;
      break;
    }
  }
  if (!record || !in.ok() || !in.at_end()) return std::nullopt;
  return record;
}

/// False for what cannot follow what came before: the rest is not believed.
bool add(Contents& contents, Record&& record) {
  const auto entry = [&](std::uint64_t number) {
    return number >= 1 && number <= contents.entries.size() ? &contents.entries[number - 1] : nullptr;
  };
  if (auto* item = std::get_if<Item>(&record)) {
    if (item->number != contents.entries.size() + 1) return false;
    contents.entries.push_back({.item = std::move(*item)});
    return true;
  }
  if (const auto* piece = std::get_if<Piece>(&record)) {
    Entry* to = entry(piece->item);
    if (to != nullptr) to->pieces.push_back(*piece);
    return to != nullptr;
  }
  if (const auto* removed = std::get_if<Removed>(&record)) {
    Entry* to = entry(removed->item);
    if (to != nullptr) to->removed = true;
    return to != nullptr;
  }
  if (auto* name = std::get_if<Name>(&record)) {
    Entry* to = entry(name->item);
    if (to != nullptr) to->names.push_back(std::move(*name));
    return to != nullptr;
  }
  if (const auto* end = std::get_if<End>(&record)) contents.end = *end;
  return true;
}

void join_pieces(std::vector<Piece>& pieces) {
  std::ranges::stable_sort(pieces, {}, &Piece::offset);
  std::vector<Piece> joined;
  for (const Piece& piece : pieces) {
    Piece* last = joined.empty() ? nullptr : &joined.back();
    const bool follows = last != nullptr && last->state == piece.state && last->offset + last->size == piece.offset &&
                         (piece.state != PieceState::Kept || last->at + last->size == piece.at);
    if (follows) {
      last->size += piece.size;
    } else {
      joined.push_back(piece);
    }
  }
  pieces = std::move(joined);
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::File: return "file";
    case Kind::Directory: return "directory";
    case Kind::Link: return "link";
    case Kind::Special: return "special";
    case Kind::Absent: return "absent";
  }
  return "file";
}

std::string_view to_string(PieceState state) {
  switch (state) {
    case PieceState::Kept: return "kept";
    case PieceState::Zeros: return "zeros";
    case PieceState::NoRoom: return "no-room";
    case PieceState::Unreadable: return "unreadable";
  }
  return "kept";
}

Bytes manifest_begin() {
  ByteWriter out;
  out.u32(kMagic);
  out.u32(kVersion);
  return out.take();
}

Bytes encode(const Record& record) {
  ByteWriter body;
  std::visit([&](const auto& part) { put(body, part); }, record);
  ByteWriter out;
  out.blob(body.bytes());
  out.u32(checksum32(out.bytes()));
  return out.take();
}

Result<Contents> read_manifest(BytesView bytes) {
  ByteReader in{bytes};
  const std::uint32_t magic = in.u32();
  const std::uint32_t version = in.u32();
  if (!in.ok() || magic != kMagic) return Error{Code::Corrupt, "the manifest does not begin as it should"};
  if (version > kVersion) {
    return Error{Code::Unsupported, fmt::format("the manifest has format {}, this program knows up to {}", version, kVersion)};
  }
  Contents contents{.good_bytes = kBeginBytes};
  bool has_head = false;
  for (;;) {
    const BytesView rest = bytes.subspan(contents.good_bytes);
    ByteReader record{rest};
    const BytesView body = record.blob();
    const std::uint32_t sum = record.u32();
    if (!record.ok() || checksum32(rest.first(4 + body.size())) != sum) break;
    auto read = decode_record(body);
    if (!read) break;
    if (!has_head) {
      auto* head = std::get_if<Head>(&*read);
      if (head == nullptr) break;
      contents.head = std::move(*head);
      has_head = true;
    } else if (!add(contents, std::move(*read))) {
      break;
    }
    contents.good_bytes += 4 + body.size() + 4;
  }
  if (!has_head) return Error{Code::Corrupt, "the manifest has no head"};
  for (Entry& entry : contents.entries) join_pieces(entry.pieces);
  return contents;
}

Bytes encode(const Summary& summary) {
  ByteWriter out;
  out.u64(summary.lost.value);
  out.text(summary.node);
  out.text(summary.peer);
  out.i64(summary.begun.ns);
  out.i64(summary.ended.ns);
  for (const std::uint64_t number : {summary.items, summary.bytes, summary.missed_bytes, summary.missed_items}) out.u64(number);
  out.u8(summary.by_others ? 1 : 0);
  return journal::seal_record(kSummaryMagic, kSummaryVersion, out.bytes());
}

Result<Summary> decode_summary(BytesView bytes) {
  SK_TRY(const BytesView body, journal::open_record(kSummaryMagic, kSummaryVersion, bytes));
  ByteReader in{body};
  Summary summary;
  summary.lost.value = in.u64();
  summary.node = in.text();
  summary.peer = in.text();
  summary.begun.ns = static_cast<std::int64_t>(in.u64());
  summary.ended.ns = static_cast<std::int64_t>(in.u64());
  for (std::uint64_t* number : {&summary.items, &summary.bytes, &summary.missed_bytes, &summary.missed_items}) {
    *number = in.u64();
  }
  if (in.ok() && !in.at_end()) summary.by_others = in.u8() != 0;  // version 1 ends before
  if (!in.ok() || !in.at_end()) return Error{Code::Corrupt, "file has a wrong length"};
  return summary;
}

}  // namespace safekit::lost
