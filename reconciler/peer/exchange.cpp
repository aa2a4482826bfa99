#include "reconciler/peer/exchange.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "reconciler/store/store.h"
#include "schema/base/bytes.h"

namespace safekit::peer {
namespace {

constexpr std::uint8_t kVersion = 1;

bool contains(std::span<const std::string> history, const std::string& digest) {
  return std::find(history.begin(), history.end(), digest) != history.end();
}

void write(ByteWriter& writer, const store::ObjectKey& key) {
  writer.u8(key.kind == store::Kind::Cluster ? 0 : 1);
  writer.text(key.name);
}
store::ObjectKey read_key(ByteReader& reader) {
  const auto kind = reader.u8() == 0 ? store::Kind::Cluster : store::Kind::Module;
  return {.kind = kind, .name = reader.text(1024)};
}

void write(ByteWriter& writer, const store::StoredObject& stored) {
  const store::Object& object = stored.object;
  write(writer, object.key);
  writer.text(object.spec);
  writer.u64(object.generation);
  writer.text(object.digest);
  writer.text(object.parent);
  writer.text(object.author);
  writer.text(object.origin.str());
  writer.i64(object.time.ns);
  writer.u8(object.deleted ? 1 : 0);
  writer.u32(static_cast<std::uint32_t>(stored.history.size()));
  for (const std::string& digest : stored.history) writer.text(digest);
}
store::StoredObject read_stored(ByteReader& reader) {
  store::StoredObject stored{};
  store::Object& object = stored.object;
  object.key = read_key(reader);
  object.spec = reader.text(store::Store::kSpecBytesMax);
  object.generation = reader.u64();
  object.digest = reader.text(64);
  object.parent = reader.text(64);
  object.author = reader.text(1024);
  object.origin = NodeName{reader.text(256)};
  object.time = WallTime{reader.i64()};
  object.deleted = reader.u8() != 0;
  const std::size_t count = reader.u32();
  for (std::size_t i = 0; i < count && reader.ok(); ++i) stored.history.push_back(reader.text(64));
  return stored;
}

Status check_version(ByteReader& reader) {
  const std::uint8_t version = reader.u8();
  if (version == kVersion) return {};
  return Error{reader.ok() ? Code::Unsupported : Code::Invalid,
               "the peer speaks version " + std::to_string(version) + " of the exchange, this node version " +
                   std::to_string(kVersion) + ": install the same version of safekit on all nodes"};
}

Status check_whole(const ByteReader& reader) {
  if (reader.ok() && reader.at_end()) return {};
  return Error{Code::Invalid, "a message of the exchange is cut short or too long"};
}

}  // namespace

ExchangePlan plan_exchange(const std::vector<Mine>& mine, const std::vector<Entry>& theirs) {
  std::map<store::ObjectKey, const Mine*> by_key;
  for (const Mine& object : mine) by_key.emplace(object.key, &object);
  std::set<store::ObjectKey> mentioned;
  ExchangePlan plan{};
  for (const Entry& entry : theirs) {
    if (!mentioned.insert(entry.key).second) continue;
    const auto found = by_key.find(entry.key);
    if (found == by_key.end()) {
      plan.fetch.push_back(entry.key);
      continue;
    }
    const Mine& own = *found->second;
    if (own.history.front() == entry.digest) {
      plan.settled.push_back(entry.key);
    } else if (contains(own.history, entry.digest)) {
      plan.push.push_back(entry.key);
      plan.settled.push_back(entry.key);
    } else if (own.known_rival != entry.digest) {
      plan.fetch.push_back(entry.key);
    }
  }
  for (const Mine& own : mine) {
    if (mentioned.contains(own.key)) continue;
    if (own.is_for_peer) plan.push.push_back(own.key);
    if (!own.known_rival.empty()) plan.settled.push_back(own.key);
  }
  return plan;
}

std::vector<Entry> summary(const std::vector<Mine>& mine, const std::set<store::ObjectKey>& mentioned) {
  std::vector<Entry> entries;
  for (const Mine& own : mine) {
    if (own.is_for_peer || mentioned.contains(own.key)) entries.push_back({own.key, own.history.front()});
  }
  return entries;
}

Judgement judge(const store::StoredObject* mine, const store::StoredObject& theirs) {
  if (mine == nullptr) return Judgement::Theirs;
  const store::Object& a = mine->object;
  const store::Object& b = theirs.object;
  if (a.digest == b.digest) return Judgement::Same;
  if (contains(mine->history, b.digest)) return Judgement::Mine;
  if (contains(theirs.history, a.digest)) return Judgement::Theirs;
  if (a.spec == b.spec && a.deleted == b.deleted) {
    return std::tie(a.generation, a.digest) < std::tie(b.generation, b.digest) ? Judgement::Theirs : Judgement::Mine;
  }
  return Judgement::Conflict;
}

std::string to_body(const std::vector<Entry>& entries) {
  ByteWriter writer;
  writer.u8(kVersion);
  writer.u32(static_cast<std::uint32_t>(entries.size()));
  for (const Entry& entry : entries) {
    write(writer, entry.key);
    writer.text(entry.digest);
  }
  return std::string{as_text(writer.bytes())};
}

Result<std::vector<Entry>> parse_entries(std::string_view body) {
  ByteReader reader{as_bytes(body)};
  SK_TRY_VOID(check_version(reader));
  const std::size_t count = reader.u32();
  if (count > kEntriesMax) return Error{Code::Exhausted, "the peer's summary names too many objects"};
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    store::ObjectKey key = read_key(reader);
    entries.push_back({std::move(key), reader.text(64)});
  }
  SK_TRY_VOID(check_whole(reader));
  return entries;
}

std::string to_body(const Parcel& parcel) {
  ByteWriter writer;
  writer.u8(kVersion);
  // Objects that find no place are left for the next round, so the count is known only afterwards.
  ByteWriter objects;
  std::uint32_t count = 0;
  for (const store::StoredObject& stored : parcel.objects) {
    if (count > 0 && objects.size() + stored.object.spec.size() > kParcelBytesMax) break;
    write(objects, stored);
    ++count;
  }
  writer.u32(count);
  writer.raw(objects.bytes());
  writer.u32(static_cast<std::uint32_t>(parcel.wanted.size()));
  for (const store::ObjectKey& key : parcel.wanted) write(writer, key);
  return std::string{as_text(writer.bytes())};
}

Result<Parcel> parse_parcel(std::string_view body) {
  ByteReader reader{as_bytes(body)};
  SK_TRY_VOID(check_version(reader));
  Parcel parcel{};
  const std::size_t objects = reader.u32();
  for (std::size_t i = 0; i < objects && reader.ok(); ++i) parcel.objects.push_back(read_stored(reader));
  const std::size_t wanted = reader.u32();
  if (wanted > kEntriesMax) return Error{Code::Exhausted, "the peer wants too many objects"};
  for (std::size_t i = 0; i < wanted && reader.ok(); ++i) parcel.wanted.push_back(read_key(reader));
  SK_TRY_VOID(check_whole(reader));
  return parcel;
}

}  // namespace safekit::peer
