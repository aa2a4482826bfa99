#include "datapath/replica/activity_tracker.h"

#include "datapath/replica/handle.h"

namespace safekit::replica {

using journal::ActivityEntry;
using Kind = journal::ActivityEntry::Kind;
using What = Change::What;

namespace {
constexpr const char* kLog = "activity";
constexpr std::uint32_t kRunMax = 64;  ///< groups noted ahead of a sequential writer
}  // namespace

ActivityTracker::ActivityTracker(journal::Journal& journal, Log& log, std::uint32_t zone_bytes)
    : journal_(journal), log_(log), group_bytes_(std::uint64_t{zone_bytes} * journal::kGroupZones),
      file_(journal.directory(), zone_bytes) {}

Status ActivityTracker::open(Random& random) {
  const journal::LogPoint expected = journal_.state().own_log;
  Lock lock{mutex_};
  if (expected.id != 0) {
    auto found = file_.resume(expected);
    if (found) {
      current_ = std::move(*found);
      usable_ = true;
      log_.write(LogLevel::Info, kLog, fmt::format("log=resumed entries={}", current_.entries));
      return {};
    }
    SK_TRY_VOID(give_up(lock, found.error()));
  }
  const journal::LogPoint fresh{random.u64() | 1, 1};
  if (const Status made = file_.create(fresh.id); !made) return give_up(lock, made.error());
  SK_TRY_VOID(journal_.update([&](journal::State& state) { state.own_log = fresh; }));
  usable_ = true;
  return {};
}

Status ActivityTracker::give_up(Lock&, const Error& error) {
  usable_ = false;
  refused_ = error.code == Code::Io;
  log_.write(LogLevel::Error, kLog,
             fmt::format("log=unusable error='{}': after a crash the copies are compared in full", error.what));
  const Status noted = note_given_up();
  changed_.notify_all();
  return noted;
}

/// Caller holds mutex_.
Status ActivityTracker::note_given_up() {
  Status noted = journal_.update([](journal::State& state) { state.base_log = state.own_log = {}; });
  failed_ = !noted;
  return noted;
}

Status ActivityTracker::mend_journal() {
  const std::lock_guard lock{mutex_};
  return failed_ ? note_given_up() : Status{};
}

Result<bool> ActivityTracker::begin_anew(std::uint64_t id) {
  Lock lock{mutex_};
  if (usable_ || failed_ || !refused_) return false;
  // Whoever counts in the place of the calls that come must be gone.
  changed_.wait(lock, [this] { return !busy_ && in_flight_[(epoch_ + 1) % 2] == 0; });
  busy_ = true;
  lock.unlock();
  const Status made = file_.create(id);
  lock.lock();
  busy_ = false;
  changed_.notify_all();
  if (!made) return made.error();
  current_ = older_ = {};
  noted_.clear();
  pending_.clear();
  rotated_ = false;
  usable_ = true;
  ++epoch_;
  // What is begun now is noted; until all that was begun before is over, the log is not complete, and the journal names none.
  changed_.wait(lock, [this] { return in_flight_[(epoch_ + 1) % 2] == 0; });
  if (!usable_) return Error{Code::Io, "the log of activity was refused again"};
  const Status named = journal_.update([&](journal::State& state) { state.own_log = file_.point(); });
  if (!named) {
    SK_TRY_VOID(give_up(lock, named.error()));
    return named.error();
  }
  log_.write(LogLevel::Info, kLog, "log=begun-anew");
  return true;
}

std::pair<std::uint64_t, std::uint64_t> ActivityTracker::groups_of(const Change& change) const {
  const std::uint64_t end = change.size > UINT64_MAX - change.offset ? UINT64_MAX : change.offset + change.size;
  return {change.offset / group_bytes_, end == 0 ? 0 : (end - 1) / group_bytes_};
}

bool ActivityTracker::is_noted(const Change& change) const {
  if (current_.everything) return true;
  const auto found = noted_.find(change.id.value);
  if (found == noted_.end()) return false;
  const Noted& noted = found->second;
  if (noted.all) return true;
  switch (change.what) {
    case What::Attributes: return noted.attributes || noted.names;
    case What::Names: return noted.names;
    case What::Tree: return noted.trees.contains(change.name);
    case What::Tail: return noted.groups.from <= change.offset / group_bytes_;
    case What::Content: {
      if (change.size == 0) return noted.attributes;
      const auto [first, last] = groups_of(change);
      for (std::uint64_t group = first; group <= last && group < noted.groups.from; ++group) {
        if (!noted.groups.contains(group)) return false;
      }
      return true;
    }
  }
  return false;
}

Status ActivityTracker::begin(Inodes& inodes, std::span<const Change> changes, std::uint32_t& ticket) {
  Lock lock{mutex_};
  ticket = epoch_ % 2;
  ++in_flight_[ticket];
  for (const Change& change : changes) {
    if (!usable_ || change.id.value == 0 || is_noted(change)) continue;
    const std::uint32_t epoch = epoch_;
    lock.unlock();
    auto entry = entry_for(inodes, change);
    lock.lock();
    if (!entry) {
      if (entry.error().code == Code::NotFound) continue;  // an inode that nobody can reach any more
      SK_TRY_VOID(give_up(lock, entry.error()));
      continue;
    }
    if (change.what == What::Content && entry->count == 1) {
      Noted& noted = noted_[change.id.value];
      noted.run = noted.next == entry->first && noted.next != 0 ? std::min(noted.run * 2, kRunMax) : 1;
      entry->count = noted.run;
      noted.next = entry->first + entry->count;
    }
    if (current_.add(*entry)) pending_.push_back(current_.everything ? ActivityEntry{.kind = Kind::Everything} : *entry);
    SK_TRY_VOID(write(lock, pending_.empty() ? batch_ - 1 : batch_));
    // After a rotation meanwhile the note is among the older ones: good for this call only.
    if (usable_ && epoch == epoch_) remember(change, *entry);
  }
  if (failed_) return Error{Code::Fenced, "the journal cannot be written"};
  return {};
}

void ActivityTracker::end(std::uint32_t ticket) {
  const std::lock_guard lock{mutex_};
  if (--in_flight_[ticket] == 0 && ticket != epoch_ % 2) changed_.notify_all();
}

Result<ActivityEntry> ActivityTracker::entry_for(Inodes& inodes, const Change& change) {
  SK_TRY(const FileHandle handle, inodes.handle_of(change.id));
  ActivityEntry entry{.key = to_key(handle)};
  if (entry.key.size() > journal::kKeyBytesMax) return Error{Code::Unsupported, "a file handle is too long"};
  switch (change.what) {
    case What::Names: entry.kind = Kind::Names; return entry;
    case What::Tree:
      entry.kind = Kind::Tree;
      entry.name = change.name;
      return entry;
    case What::Attributes: break;
    case What::Tail:
      entry.kind = Kind::Groups;
      entry.first = change.offset / group_bytes_;
      break;
    case What::Content: {
      if (change.size == 0) break;
      entry.kind = Kind::Groups;
      const auto [first, last] = groups_of(change);
      entry.first = first;
      entry.count = last - first < journal::kGroupsOfOneMax ? static_cast<std::uint32_t>(last - first + 1) : 0;
      break;
    }
  }
  if (const auto place = inodes.place_of(change.id)) {
    entry.parent = to_key(place->parent);
    entry.name = place->name;
  }
  return entry;
}

void ActivityTracker::remember(const Change& change, const ActivityEntry& entry) {
  Noted& noted = noted_[change.id.value];
  noted.attributes = noted.attributes || entry.kind == Kind::Attributes || entry.kind == Kind::Groups;
  noted.names = noted.names || entry.kind == Kind::Names;
  if (entry.kind == Kind::Tree) noted.trees.insert(entry.name);
  if (entry.kind == Kind::Groups) noted.groups.add(entry.first, entry.count);
}

/// Returns when that batch is on disk. Whoever finds nobody writing writes for all.
Status ActivityTracker::write(Lock& lock, std::uint64_t batch) {
  while (usable_ && durable_ < batch) {
    if (busy_) {
      changed_.wait(lock);
      continue;
    }
    busy_ = true;
    const std::uint64_t number = batch_++;
    const std::vector<ActivityEntry> entries = std::exchange(pending_, {});
    lock.unlock();
    const Status written = file_.append(entries);
    lock.lock();
    busy_ = false;
    if (!written) return give_up(lock, written.error());
    durable_ = number;
    changed_.notify_all();
  }
  if (failed_) return Error{Code::Fenced, "the journal cannot be written"};
  return {};
}

void ActivityTracker::created(InodeId id, InodeId parent, const std::string& name, bool directory) {
  const std::lock_guard lock{mutex_};
  const auto above = noted_.find(parent.value);
  if (!usable_ || above == noted_.end()) return;
  // What is new in a directory of which the names are noted is compared with them; a directory only where its entry is.
  const bool covered = above->second.all || (directory ? above->second.trees.contains(name) : above->second.names);
  if (covered) noted_[id.value].all = true;
}

void ActivityTracker::forget(InodeId id) {
  const std::lock_guard lock{mutex_};
  noted_.erase(id.value);
}

journal::LogPoint ActivityTracker::point() const {
  const std::lock_guard lock{mutex_};
  return usable_ ? journal_.state().own_log : journal::LogPoint{};
}

journal::Activity ActivityTracker::activity() const {
  const std::lock_guard lock{mutex_};
  journal::Activity all = older_;
  all.merge(current_);
  return all;
}

std::size_t ActivityTracker::entries() const {
  const std::lock_guard lock{mutex_};
  return older_.entries + current_.entries + (current_.everything || older_.everything ? 1 : 0);
}

Result<journal::LogPoint> ActivityTracker::rotate() {
  Lock lock{mutex_};
  changed_.wait(lock, [this] { return !usable_ || !busy_; });
  if (!usable_) return Error{Code::Unavailable, "the log of activity was given up"};
  if (!rotated_) {
    busy_ = true;
    lock.unlock();
    const Status made = file_.rotate();
    lock.lock();
    busy_ = false;
    if (!made) {
      SK_TRY_VOID(give_up(lock, made.error()));
      return made.error();
    }
    rotated_ = true;
    older_ = std::exchange(current_, {});
    for (const ActivityEntry& entry : pending_) current_.add(entry);  // they come to be in the new file
    noted_.clear();
    ++epoch_;
    changed_.notify_all();
  }
  return journal::LogPoint{file_.point().id, file_.number()};
}

void ActivityTracker::await_older() {
  Lock lock{mutex_};
  changed_.wait(lock, [this] { return in_flight_[(epoch_ + 1) % 2] == 0; });
}

Status ActivityTracker::confirm(const journal::LogPoint& checkpoint) {
  Lock lock{mutex_};
  changed_.wait(lock, [this] { return !usable_ || !busy_; });
  if (!usable_ || !rotated_) return Error{Code::Unavailable, "the log of activity was given up"};
  busy_ = true;
  lock.unlock();
  // The journal first: it says from where on the files must be there.
  Status done = journal_.update([&](journal::State& state) { state.own_log = checkpoint; });
  if (done) done = file_.drop_old();
  lock.lock();
  busy_ = false;
  if (!done) return give_up(lock, done.error());
  rotated_ = false;
  older_ = {};
  changed_.notify_all();
  return {};
}

}  // namespace safekit::replica
