// What is read of sets of lost writes.
#include <algorithm>

#include "datapath/journal/record.h"
#include "datapath/lost/manifest.h"
#include "e2e/fuzz/fuzz.h"
#include "schema/base/digest.h"

namespace safekit::fuzz {
namespace {

constexpr std::uint32_t kSummaryMagic = 0x53574c53;

Bytes manifest_of(const lost::Contents& contents) {
  Bytes bytes = lost::manifest_begin();
  const auto put = [&](const lost::Record& record) {
    const Bytes one = lost::encode(record);
    bytes.insert(bytes.end(), one.begin(), one.end());
  };
  put(contents.head);
  for (const lost::Entry& entry : contents.entries) {
    put(entry.item);
    for (const lost::Piece& piece : entry.pieces) put(piece);
    if (entry.removed) put(lost::Removed{entry.item.number});
    for (const lost::Name& name : entry.names) put(name);
  }
  if (contents.end) put(*contents.end);
  return bytes;
}

/// The bodies of records, each behind a u16 with its length, get what belongs around them. The first byte says how much of the end
/// is missing.
void read_manifest(BytesView input) {
  if (input.empty()) return;
  (void)lost::read_manifest(input.subspan(1));  // as it is
  ByteWriter manifest;
  manifest.raw(lost::manifest_begin());
  ByteReader in{input.subspan(1)};
  while (!in.at_end()) {
    const std::size_t size = in.u16();
    ByteWriter record;
    record.blob(in.raw(std::min(size, in.rest().size())));
    manifest.raw(record.bytes());
    manifest.u32(checksum32(record.bytes()));
  }
  Bytes bytes = manifest.take();
  bytes.resize(bytes.size() - std::min<std::size_t>(input[0], bytes.size()));
  const auto contents = lost::read_manifest(bytes);
  if (!contents) return;
  SK_ASSERT(contents->good_bytes <= bytes.size());
  const auto back = lost::read_manifest(manifest_of(*contents));
  SK_ASSERT(back && back->head == contents->head && back->entries == contents->entries && back->end == contents->end);
}

std::vector<Bytes> manifests() {
  const lost::Record records[] = {
      lost::Head{.module = "AM", .node = "a", .peer = "b", .lost = {1}, .kept = {2}, .begun = {3}, .only_own = true, .roots = {"/d"}},
      lost::Item{.number = 1, .kind = lost::Kind::File, .handle = "h", .path = "p/q", .attributes = {.mode = 0100600, .size = 9},
                 .xattrs = {{"user.a", "b"}}},
      lost::Piece{.item = 1, .offset = 0, .size = 4096, .state = lost::PieceState::Kept, .at = 0},
      lost::Piece{.item = 1, .offset = 4096, .size = 4096, .state = lost::PieceState::Kept, .at = 4096},
      lost::Removed{1},
      lost::Name{.item = 1, .root = 0, .path = "r"},
      lost::Item{.number = 2, .kind = lost::Kind::Link, .path = "l", .link_target = "t"},
      lost::End{.ended = {4}, .unlisted = 5},
  };
  ByteWriter all;
  all.u8(0);
  for (const lost::Record& record : records) {
    const Bytes bytes = lost::encode(record);
    const BytesView body = BytesView{bytes}.subspan(4, bytes.size() - 8);
    all.u16(static_cast<std::uint16_t>(body.size()));
    all.raw(body);
  }
  return {all.take()};
}

void read_summary(BytesView input) {
  (void)lost::decode_summary(input);  // as it is
  const auto summary = lost::decode_summary(journal::seal_record(kSummaryMagic, 1, input));
  if (!summary) return;
  const auto back = lost::decode_summary(lost::encode(*summary));
  SK_ASSERT(back && *back == *summary);
}

std::vector<Bytes> summaries() {
  const Bytes record = lost::encode(lost::Summary{.lost = {1}, .node = "a", .peer = "b", .begun = {2}, .ended = {3}, .items = 4,
                                                  .bytes = 5, .missed_bytes = 6, .missed_items = 7});
  return {Bytes{record.begin() + 16, record.end() - 4}};
}

constexpr std::array kParsers{
    Parser{.name = "manifest", .bytes_max = 4096, .read = read_manifest, .seeds = manifests},
    Parser{.name = "summary", .bytes_max = 512, .read = read_summary, .seeds = summaries},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
