#include "reconciler/store/store.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include <fmt/format.h>

#include "reconciler/store/store_impl.h"
#include "schema/base/digest.h"

namespace safekit::store {
namespace {

constexpr std::uint64_t kRevisionBlock = 100'000;  // one durable write per so many changes, and per start

constexpr char kTombstoneMark[] = "x";  // before the digest of a tombstone: a history shows where a name began anew

std::string_view noun(Kind kind) { return kind == Kind::Cluster ? "cluster" : "module"; }

std::string digest_of(const Object& object) {
  ByteWriter writer;
  writer.text(object.spec);
  writer.u64(object.generation);
  writer.text(object.parent);
  writer.u8(object.deleted ? 1 : 0);
  return (object.deleted ? std::string{kTombstoneMark} : std::string{}) + to_string(digest128(writer.bytes()));
}

/// Newest first, each once, bounded.
std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  std::unordered_set<std::string> known{first.begin(), first.end()};
  for (const std::string& digest : second) {
    if (first.size() >= Store::kHistoryMax) break;
    if (known.insert(digest).second) first.push_back(digest);
  }
  return first;
}

/// Whoever changes an object while a conflict is shown has decided it: the new revision follows all sides.
void follow(const std::vector<Conflict>& rivals, Object& object, std::vector<std::string>& history) {
  for (const Conflict& rival : rivals) {
    object.generation = std::max(object.generation, rival.theirs.generation + 1);
    history = joined(std::move(history), rival.history);
  }
}

}  // namespace

std::uint64_t version_of(const Object& object) {
  std::uint64_t version = 0;
  const std::string_view digest = object.digest;
  const std::string_view last = digest.substr(digest.size() - std::min(digest.size(), 2 * sizeof version));
  std::from_chars(last.data(), last.data() + last.size(), version, 16);
  return std::max<std::uint64_t>(version, 1);
}

void Store::Impl::load() {
  Snapshot snapshot = backend.load();
  for (StoredObject& stored : snapshot.objects) {
    SK_ASSERT(!stored.object.digest.empty());
    objects.emplace(stored.object.key, std::move(stored));
  }
  for (Operation& operation : snapshot.operations) pending.emplace(operation.id, std::move(operation));
  durable_facts = std::move(snapshot.facts);
  relaxed_facts = std::move(snapshot.relaxed_facts);
  revision = revision_limit = snapshot.revision_limit;
  next_operation = std::max<std::uint64_t>(snapshot.next_operation, 1);
}

Revision Store::Impl::next_revision(Batch& batch) {
  if (++revision > revision_limit) {
    revision_limit = revision + kRevisionBlock;
    batch.revision_limit = revision_limit;
  }
  return Revision{revision};
}

void Store::Impl::tell(Change::What what, Kind kind, const std::string& name) {
  Batch batch{};
  const Revision changed = next_revision(batch);
  // On a full disk the numbers go on in memory; only a crash right then could make a reader see one twice.
  if (batch.revision_limit) (void)backend.commit(batch);
  watchers.tell(Change{.what = what, .kind = kind, .name = name, .revision = changed});
}

const StoredObject* Store::Impl::find(const ObjectKey& key) const {
  const auto found = objects.find(key);
  return found == objects.end() ? nullptr : &found->second;
}

Status Store::Impl::check_expected(const StoredObject* current, const ApplyOptions& options) const {
  if (!options.expected) return {};
  const bool exists = current != nullptr && !current->object.deleted;
  const std::uint64_t now = exists ? version_of(current->object) : 0;
  if (now == *options.expected) return {};
  if (!exists) {
    return Error{Code::Conflict, fmt::format("resourceVersion {} is given, but there is no such object any more; leave "
                                             "resourceVersion out to make it anew",
                                             *options.expected)};
  }
  const Object& object = current->object;
  return Error{Code::Conflict,
               fmt::format("{} '{}' was changed meanwhile by '{}' on '{}' at {}: its resourceVersion is {}, not {}; get "
                           "it again and repeat the change",
                           noun(object.key.kind), object.key.name, object.author, object.origin.str(),
                           to_string(object.time), now, *options.expected)};
}

std::vector<ObjectKey> Store::Impl::surplus_tombstones(const ObjectKey& added) const {
  std::vector<std::pair<Revision, ObjectKey>> dead;
  for (const auto& [key, stored] : objects) {
    if (stored.object.deleted && key != added) dead.emplace_back(stored.object.revision, key);
  }
  if (dead.size() < kTombstonesMax) return {};
  return {std::min_element(dead.begin(), dead.end())->second};
}

Status Store::Impl::keep(StoredObject stored, bool extends_history) {
  const ObjectKey key = stored.object.key;
  if (stored.object.spec.size() > kSpecBytesMax) {
    return Error{Code::Exhausted, fmt::format("{} '{}' is larger than {} MiB", noun(key.kind), key.name, kSpecBytesMax >> 20)};
  }
  if (!objects.contains(key) && objects.size() >= kObjectsMax) {
    return Error{Code::Exhausted, fmt::format("there are {} objects already, more are not possible", objects.size())};
  }
  Batch batch{};
  stored.object.revision = next_revision(batch);
  if (stored.object.deleted) batch.forgotten = surplus_tombstones(key);
  batch.objects.push_back({.stored = stored, .extends_history = extends_history});
  if (Status status = backend.commit(batch); !status) {
    if (batch.revision_limit) revision_limit = 0;  // not on disk: the next change tries again
    return status;
  }
  for (const ObjectKey& old : batch.forgotten) objects.erase(old);
  const Revision changed = stored.object.revision;
  objects[key] = std::move(stored);
  conflicts.erase(key);
  watchers.tell(Change{.what = Change::What::Object, .kind = key.kind, .name = key.name, .revision = changed});
  return {};
}

Result<Object> Store::Impl::store_own(Object object, std::vector<std::string> history, bool extends_history,
                                      bool dry_run) {
  object.digest = digest_of(object);
  object.time = clock.wall_now();
  object.revision = Revision{revision};
  if (dry_run) return object;
  const ObjectKey key = object.key;
  history = joined({object.digest}, history);
  SK_TRY_VOID(keep({.object = std::move(object), .history = std::move(history)}, extends_history));
  return objects.at(key).object;
}

Store::Store(Backend& backend, const Clock& clock, NodeName node)
    : impl_(std::make_unique<Impl>(backend, clock)), node_(std::move(node)) {
  impl_->load();
}
Store::~Store() = default;

std::optional<Object> Store::get(const ObjectKey& key) const {
  const StoredObject* stored = impl_->find(key);
  if (stored == nullptr || stored->object.deleted) return std::nullopt;
  return stored->object;
}

std::vector<Object> Store::list(Kind kind) const {
  std::vector<Object> found;
  for (const auto& [key, stored] : impl_->objects) {
    if (key.kind == kind && !stored.object.deleted) found.push_back(stored.object);
  }
  return found;
}

std::vector<Object> Store::all_with_tombstones() const {
  std::vector<Object> found;
  for (const auto& [key, stored] : impl_->objects) found.push_back(stored.object);
  return found;
}

const std::map<ObjectKey, StoredObject>& Store::stored() const { return impl_->objects; }

std::vector<std::string> Store::history(const ObjectKey& key) const {
  const StoredObject* stored = impl_->find(key);
  return stored == nullptr ? std::vector<std::string>{} : stored->history;
}

std::string Store::last_end(const ObjectKey& key) const {
  const StoredObject* stored = impl_->find(key);
  if (stored == nullptr) return {};
  const auto is_end = [](const std::string& digest) { return digest.starts_with(kTombstoneMark); };
  const auto end = std::ranges::find_if(stored->history, is_end);
  return end == stored->history.end() ? std::string{} : *end;
}

Result<Object> Store::apply(const ObjectKey& key, const std::string& spec, const ApplyOptions& options) {
  const StoredObject* current = impl_->find(key);
  SK_TRY_VOID(impl_->check_expected(current, options));
  const std::vector<Conflict> rivals = conflicts(key);
  if (current != nullptr && !current->object.deleted && current->object.spec == spec && rivals.empty()) {
    return current->object;
  }
  Object object{.key = key, .spec = spec, .generation = 1, .author = options.author, .origin = node_};
  std::vector<std::string> history;
  if (current != nullptr) {
    object.generation = current->object.generation + 1;
    object.parent = current->object.digest;
    history = current->history;
  }
  follow(rivals, object, history);
  return impl_->store_own(std::move(object), std::move(history), rivals.empty(), options.dry_run);
}

Result<Object> Store::remove(const ObjectKey& key, const ApplyOptions& options) {
  const StoredObject* current = impl_->find(key);
  SK_TRY_VOID(impl_->check_expected(current, options));
  if (current == nullptr || current->object.deleted) {
    return Error{Code::NotFound, fmt::format("there is no {} '{}'", noun(key.kind), key.name)};
  }
  Object object{.key = key,
                .spec = current->object.spec,  // whom it concerns: every node of it has to hear of the end
                .generation = current->object.generation + 1,
                .parent = current->object.digest,
                .author = options.author,
                .origin = node_,
                .deleted = true};
  std::vector<std::string> history = current->history;
  const std::vector<Conflict> rivals = conflicts(key);
  follow(rivals, object, history);
  return impl_->store_own(std::move(object), std::move(history), rivals.empty(), options.dry_run);
}

Status Store::adopt(const Object& object, const std::vector<std::string>& history) {
  if (object.digest != digest_of(object)) {
    return Error{Code::Corrupt, fmt::format("the digest of {} '{}' from '{}' does not hold", noun(object.key.kind),
                                            object.key.name, object.origin.str())};
  }
  return impl_->keep({.object = object, .history = joined({object.digest}, history)}, false);
}

std::vector<Conflict> Store::conflicts() const {
  std::vector<Conflict> found;
  for (const auto& [key, by_peer] : impl_->conflicts) {
    for (const auto& [peer, conflict] : by_peer) found.push_back(conflict);
  }
  return found;
}

std::vector<Conflict> Store::conflicts(const ObjectKey& key) const {
  std::vector<Conflict> found;
  const auto by_peer = impl_->conflicts.find(key);
  if (by_peer == impl_->conflicts.end()) return found;
  for (const auto& [peer, conflict] : by_peer->second) found.push_back(conflict);
  return found;
}

void Store::set_conflict(Conflict conflict) {
  const ObjectKey key = conflict.theirs.key;
  Conflict& known = impl_->conflicts[key][conflict.peer];
  if (known == conflict) return;
  known = std::move(conflict);
  impl_->tell(Change::What::Peers, key.kind, key.name);
}

void Store::clear_conflict(const ObjectKey& key, const NodeName& peer) {
  const auto by_peer = impl_->conflicts.find(key);
  if (by_peer == impl_->conflicts.end() || by_peer->second.erase(peer) == 0) return;
  if (by_peer->second.empty()) impl_->conflicts.erase(by_peer);
  impl_->tell(Change::What::Peers, key.kind, key.name);
}

Result<Object> Store::take(const ObjectKey& key, const NodeName& from, const ApplyOptions& options) {
  const StoredObject* current = impl_->find(key);
  SK_TRY_VOID(impl_->check_expected(current, options));
  const std::vector<Conflict> rivals = conflicts(key);
  const Object* chosen = current != nullptr && from == node_ ? &current->object : nullptr;
  for (const Conflict& rival : rivals) {
    if (rival.peer == from) chosen = &rival.theirs;
  }
  if (current == nullptr || rivals.empty() || chosen == nullptr) {
    return Error{Code::NotFound, fmt::format("{} '{}' has no conflict with node '{}'", noun(key.kind), key.name, from.str())};
  }
  // Everything that goes into the digest comes from the revisions alone, so that the same choice made on both sides at
  // once is one revision and no new conflict.
  Object object{.key = key,
                .spec = chosen->spec,
                .generation = current->object.generation + 1,
                .parent = chosen->digest,
                .author = options.author,
                .origin = node_,
                .deleted = chosen->deleted};
  std::vector<std::string> history = current->history;
  follow(rivals, object, history);
  return impl_->store_own(std::move(object), std::move(history), false, options.dry_run);
}

}  // namespace safekit::store
