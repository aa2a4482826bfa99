// What a replica reads from its own disk: its journal.
#include <algorithm>
#include <bit>

#include "datapath/journal/activity_log.h"
#include "datapath/journal/journal.h"
#include "datapath/journal/record.h"
#include "datapath/journal/zone_map.h"
#include "datapath/lost/claim.h"
#include "e2e/fuzz/fuzz.h"
#include "schema/base/digest.h"

namespace safekit::fuzz {
namespace {

constexpr std::uint32_t kStateMagic = 0x4a4b5253;
constexpr std::uint32_t kStateVersions = 4;
constexpr std::uint32_t kZonesMagic = 0x4d5a4b53;
constexpr std::uint32_t kZonesVersions = 2;

/// The first byte picks the version.
void read_state(BytesView input) {
  if (input.empty()) return;
  (void)journal::decode_state(input.subspan(1));  // as it is, also with a wrong head
  const auto state = journal::decode_state(journal::seal_record(kStateMagic, 1 + input[0] % kStateVersions, input.subspan(1)));
  if (!state) return;
  const auto back = journal::decode_state(journal::encode(*state));
  SK_ASSERT(back && *back == *state);
}

std::vector<Bytes> states() {
  const journal::State full{.generations = {.current = {1}, .base = {2}, .history = {{3}, {4}}}, .peer = "b", .up_to_date = true,
                            .inconsistent = true, .exact = true, .exact_in_boot = "x", .base_log = {5, 6}, .own_log = {7, 8},
                            .watched = {.until = 9, .setting = 10, .boot = "y", .left = true, .unsettled = true},
                            .full_wanted = true, .since = 11, .backup = "u", .policy = 12,
                            .kept = journal::State::Kept::Returning};
  const std::size_t third = 8 + 4 + full.backup.size() + 8;
  const std::size_t second = 32 + 16 + 4 + full.watched.boot.size() + 2;
  std::vector<Bytes> seeds;
  for (const journal::State& state : {full, journal::State{}}) {
    const Bytes record = journal::encode(state);
    const BytesView body = BytesView{record}.subspan(16, record.size() - 20);
    seeds.push_back(seed(3, body));
  }
  BytesView newest = BytesView{seeds[0]}.subspan(1);
  newest = newest.first(newest.size() - 1);
  seeds.push_back(seed(2, newest));
  seeds.push_back(seed(1, newest.first(newest.size() - third)));
  seeds.push_back(seed(0, newest.first(newest.size() - third - second)));
  return seeds;
}

void use_zones(const journal::ZoneMap& map) {
  journal::ZoneMap merged{map.zone_bytes()};
  merged.merge(map);
  SK_ASSERT(merged.overflown() || !map.overflown());
  journal::ZoneMap again = merged;
  again.merge(map);
  SK_ASSERT(again == merged);
  const lost::Own own{map};
  for (const auto& [handle, marks] : map.inodes()) {
    for (const auto& [word, bits] : marks.doubtful.words) {
      const bool is_there = merged.overflown() || bits == 0 ||
                            merged.inodes().at(handle).doubtful.contains(word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
      SK_ASSERT(is_there);
    }
    for (const lost::Range range : {lost::Range{0, 1U << 20}, lost::Range{UINT64_MAX - 5, UINT64_MAX}}) {
      for (const lost::Range& part : own.content(handle, range)) {
        SK_ASSERT(part.begin < part.end && part.begin >= range.begin && part.end <= range.end);
      }
    }
  }
}

/// The first byte picks the version.
void read_zones(BytesView input) {
  if (input.empty()) return;
  const BytesView body = input.subspan(1);
  const DataGeneration generation{ByteReader{body}.u64()};
  (void)journal::ZoneMap::decode(body, generation);  // as it is
  const auto map = journal::ZoneMap::decode(journal::seal_record(kZonesMagic, 1 + input[0] % kZonesVersions, body), generation);
  if (!map) return;
  const auto back = journal::ZoneMap::decode(map->encode(generation), generation);
  SK_ASSERT(back && back->inodes() == map->inodes() && back->overflown() == map->overflown());
  use_zones(*map);
}

std::vector<Bytes> zones() {
  journal::ZoneMap map{4096};
  map.mark("file", 0, 70 * 4096);
  map.mark("file", 1ULL << 40, 1);
  map.inode("new").whole = true;
  journal::ActiveInode active{.attributes = true, .names = true, .trees = {"tree", "other"}, .parent = "up", .name = "n"};
  active.groups.add(3, 100);
  active.groups.add(1ULL << 30, 0);
  map.add("directory", active);
  journal::ZoneMap full{4096};
  full.set_overflown();
  std::vector<Bytes> seeds;
  for (const journal::ZoneMap* one : {&map, &full}) {
    const Bytes record = one->encode({5});
    seeds.push_back(seed(1, BytesView{record}.subspan(16, record.size() - 20)));
  }
  return seeds;
}

/// With right checksums; `tidy` also gives all blocks the head of the first.
Bytes log_file(BytesView blocks, bool tidy) {
  constexpr std::size_t kHeadFrom = 20;  // of a block: id, number, from, zone size
  constexpr std::size_t kHeadBytes = 28;
  Bytes file{blocks.begin(), blocks.end()};
  file.resize(std::max<std::size_t>(1, (file.size() + journal::kChunkBytes - 1) / journal::kChunkBytes) * journal::kChunkBytes);
  for (std::size_t at = 0; at < blocks.size(); at += journal::kBlockBytes) {
    const BytesView block = BytesView{file}.subspan(at, journal::kBlockBytes);
    if (std::ranges::all_of(block, [](std::uint8_t byte) { return byte == 0; })) continue;
    if (tidy) {
      std::copy_n(file.begin() + 4, 6, file.begin() + static_cast<std::ptrdiff_t>(at) + 4);
      put_u32(file, at + 12, static_cast<std::uint32_t>(at / journal::kBlockBytes));
      std::copy_n(file.begin() + kHeadFrom, kHeadBytes, file.begin() + static_cast<std::ptrdiff_t>(at + kHeadFrom));
    }
    put_u32(file, at, checksum32(block.subspan(4)));
  }
  return file;
}

void read_activity(BytesView input) {
  if (input.empty()) return;
  auto segment = journal::decode_segment(log_file(input.subspan(1), input[0] % 2 == 0));
  if (!segment) return;
  // What was read can be written, and is the same again.
  Bytes again = journal::encode_blocks(segment->head, 0, segment->activity.list());
  again.resize((again.size() + journal::kChunkBytes - 1) / journal::kChunkBytes * journal::kChunkBytes);
  auto back = journal::decode_segment(again);
  SK_ASSERT(back && back->head == segment->head && back->activity.everything == segment->activity.everything);
  journal::Activity merged;
  merged.merge(segment->activity);
  // None says what the others do not say.
  const auto entries = back->activity.list();
  for (const auto& entry : segment->activity.list()) SK_ASSERT(!back->activity.add(entry) && !merged.add(entry));
  for (const auto& entry : entries) SK_ASSERT(!segment->activity.add(entry));
}

std::vector<Bytes> logs() {
  using Kind = journal::ActivityEntry::Kind;
  const journal::SegmentHead head{.id = 1, .number = 3, .from = 2, .zone_bytes = 4096};
  const std::vector<journal::ActivityEntry> entries{
      {.kind = Kind::Attributes, .key = "k", .parent = "p", .name = "n"},
      {.kind = Kind::Groups, .key = "k", .parent = "p", .name = "n", .first = 2, .count = 3},
      {.kind = Kind::Groups, .key = "l", .first = 5},
      {.kind = Kind::Names, .key = "d"},
      {.kind = Kind::Tree, .key = "d", .name = "t"}};
  std::vector<journal::ActivityEntry> many;
  for (int i = 0; i < 60; ++i) many.push_back({.kind = Kind::Attributes, .key = fmt::format("key {}", i), .parent = "p", .name = "n"});
  std::vector<Bytes> seeds;
  for (const auto& list : {entries, many, std::vector<journal::ActivityEntry>{{.kind = Kind::Everything}}}) {
    seeds.push_back(seed(1, journal::encode_blocks(head, 0, list)));
  }
  Bytes grown = seeds[0];
  const Bytes more = journal::encode_blocks(head, 1, many);
  grown.insert(grown.end(), more.begin(), more.end());
  seeds.push_back(std::move(grown));
  return seeds;
}

constexpr std::array kParsers{
    Parser{.name = "state", .bytes_max = 1024, .read = read_state, .seeds = states},
    Parser{.name = "zones", .bytes_max = 4096, .read = read_zones, .seeds = zones},
    Parser{.name = "activity", .bytes_max = 4096, .read = read_activity, .seeds = logs},
};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
