#include "datapath/replica/resync_run.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <numeric>
#include <unordered_set>

#include "datapath/linux/background.h"
#include "datapath/replica/marked_zones.h"
#include "datapath/replica/tree_call.h"

namespace safekit::replica {

namespace {

constexpr std::size_t kPendingMax = 256;          ///< answers awaited before new work is begun
constexpr std::size_t kListingBytesMax = 512U << 10;  ///< of names in one frame

Error ended() { return Error{Code::Unavailable, "the connection was lost during the synchronisation"}; }

}  // namespace

ResyncRun::ResyncRun(ResyncHost& host, Inodes& inodes, TreeOrder& order, const Settings& settings,
                     std::function<void()> changed)
    : host_(host), inodes_(inodes), order_(order), settings_(settings), changed_(std::move(changed)) {
  for (std::uint32_t i = 0; i < std::max(1U, settings.workers); ++i) workers_.emplace_back([this] { work(); });
}

ResyncRun::~ResyncRun() {
  abort();
  for (std::thread& worker : workers_) worker.join();
  // What was left undone is still pinned, once for all its parts.
  std::unordered_set<WorkRef> undone;
  for (auto& queue : jobs_) {
    for (const Job& job : queue) undone.insert(job.work);
  }
  for (const auto& [sequence, asked] : asked_) undone.insert(asked.work);
  undone.erase(nullptr);  // of what has nothing pinned
  for (const WorkRef& work : undone) inodes_.unpin(work->id);
  for (const auto& [sequence, list] : listings_) {
    for (const Entry& entry : list.entries) inodes_.unpin(entry.id);
  }
}

void ResyncRun::abort() {
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
  }
  wake_.notify_all();
}

Progress ResyncRun::progress() const {
  const std::lock_guard lock{mutex_};
  Progress progress = progress_;
  progress.scanning = scans_ > 0;
  return progress;
}

void ResyncRun::push_locked(Job job) {
  if (job.kind == Kind::Scan || job.kind == Kind::Fix) ++scans_;
  if (job.kind == Kind::Scan) ++progress_.directories_total;
  if (job.kind == Kind::Inode) {
    ++progress_.files_total;
    progress_.bytes_total += job.work->size;
  }
  jobs_[static_cast<std::size_t>(job.kind)].push_back(std::move(job));
}

void ResyncRun::push(Job job) {
  {
    const std::lock_guard lock{mutex_};
    push_locked(std::move(job));
  }
  wake_.notify_all();  // one may wait for something else
}

void ResyncRun::work() {
  linux_os::ThreadPriority priority;
  std::unique_lock lock{mutex_};
  const auto eligible = [this] {
    const bool crowded = listings_.size() + asked_.size() >= kPendingMax;
    for (auto& queue : jobs_) {
      if (!queue.empty() && (!crowded || &queue == &jobs_[static_cast<std::size_t>(Kind::Zones)])) return &queue;
    }
    return static_cast<std::deque<Job>*>(nullptr);
  };
  for (;;) {
    wake_.wait(lock, [&] { return stopped_ || eligible() != nullptr; });
    if (stopped_) return;
    std::deque<Job>& queue = *eligible();
    Job job = std::move(queue.front());
    queue.pop_front();
    ++running_;
    lock.unlock();
    // Who lists a directory keeps everybody from changing names meanwhile.
    priority.set_background(job.kind != Kind::Scan && job.kind != Kind::Fix);
    const Status done = do_job(job);
    lock.lock();
    --running_;
    if (!done && failed_) {
      failed_ = done;
      stopped_ = true;
    }
    wake_.notify_all();
  }
}

Status ResyncRun::do_job(Job& job) {
  switch (job.kind) {
    case Kind::Zones: {
      Status sent = send_zones(job.work, job.zones);
      const Status released = release(job.work);
      return sent ? released : sent;
    }
    case Kind::Inode: {
      Status sent = send_inode(job);
      const Status released = release(job.work);
      return sent ? released : sent;
    }
    case Kind::Fix:
    case Kind::Scan: return list(job);
  }
  return {};
}

Status ResyncRun::settle() {
  std::unique_lock lock{mutex_};
  const auto settled = [this] {
    return stopped_ || (running_ == 0 && listings_.empty() && asked_.empty() &&
                        std::ranges::all_of(jobs_, [](const auto& queue) { return queue.empty(); }));
  };
  // One answer may stand for much reading, so the limit is for silence, not for each of the requests under way.
  for (std::uint64_t before = answers_; !wake_.wait_for(lock, settings_.resync_timeout, settled); before = answers_) {
    if (answers_ != before || (listings_.empty() && asked_.empty())) continue;
    stopped_ = true;
    failed_ = Error{Code::Timeout, "the peer answers no request; is its disk slow or stuck?"};
    wake_.notify_all();
  }
  if (!failed_) return failed_;
  if (stopped_) return ended();
  return {};
}

Status ResyncRun::run_full() { return run_from_roots(Depth::All); }

Status ResyncRun::run_from_roots(Depth depth) {
  for (std::uint32_t root = 0; root < inodes_.root_count(); ++root) {
    SK_TRY(const FileHandle handle, inodes_.handle_of(inodes_.root_id(root)));
    push({.kind = Kind::Scan, .key = to_key(handle), .depth = depth});
  }
  more_scans(false);
  return settle();
}

void ResyncRun::more_scans(bool come) {
  const std::lock_guard lock{mutex_};
  scans_ = come ? scans_ + 1 : scans_ - 1;
}

Status ResyncRun::run_zones(const journal::ZoneMap& map) {
  std::vector<Dirty> directories;
  std::vector<Job> inodes;
  const auto give_up = [&](const Status& status) -> Status {
    for (const Job& job : inodes) inodes_.unpin(job.work->id);
    return status;
  };
  if (const Status sorted = sort_marks(map, directories, inodes); !sorted) return give_up(sorted);
  // Parents first: a listing makes the places that the paths of deeper ones lead through.
  std::ranges::stable_sort(directories, {}, &Dirty::depth);
  Status sent{};
  {
    const std::lock_guard lock{mutex_};
    progress_.directories_total = static_cast<std::uint64_t>(
        std::ranges::count_if(directories, [](const Dirty& dirty) { return dirty.job.kind == Kind::Scan; }));
  }
  for (const Dirty& dirty : directories) {
    more_scans(true);
    sent = list(dirty.job);
    if (!sent) break;
  }
  more_scans(false);
  if (sent) sent = settle();
  if (!sent) return give_up(sent);
  for (Job& job : inodes) push(std::move(job));
  return settle();
}

/// Errors: NotFound for what is gone, or was moved to where it is compared with its directory.
Result<InodeId> ResyncRun::pin_marked(const journal::ZoneMap& map, const HandleKey& key, const journal::InodeMarks& marks) {
  SK_TRY(const auto handle, from_key(key));
  if (!marks.name.empty()) {
    // By its name first: a file that nobody has looked up is found by its handle alone only in a walk of the whole tree.
    const auto above = from_key(marks.parent);
    const auto parent = above ? inodes_.pin(*above) : Result<InodeId>{above.error()};
    const auto id = parent ? inodes_.pin(*parent, marks.name) : Result<InodeId>{parent.error()};
    if (parent) inodes_.unpin(*parent);
    if (id) {
      const auto found = inodes_.handle_of(*id);
      if (found && *found == handle) return *id;
      inodes_.unpin(*id);
    }
    const auto listed = map.inodes().find(marks.parent);
    if (parent && listed != map.inodes().end() && listed->second.children) return Error{Code::NotFound, "moved"};
  }
  return inodes_.pin(handle);
}

/// What is to be listed, and the inodes, pinned, whose content or attributes are to be made equal then.
Status ResyncRun::sort_marks(const journal::ZoneMap& map, std::vector<Dirty>& directories, std::vector<Job>& inodes) {
  for (const auto& [key, marks] : map.inodes()) {
    const auto names = order_.names_shared();
    const auto id = pin_marked(map, key, marks);
    if (!id) {
      if (id.error().code != Code::NotFound) return id.error();
      continue;  // it is gone: its directory is dirty too
    }
    const auto path = inodes_.path_of(*id);
    const auto fd = path ? inodes_.open(*id, O_PATH) : Result<int>{path.error()};
    struct stat st {};
    const Fd closer{fd ? *fd : -1};
    if (!fd || ::fstat(*fd, &st) != 0) {
      const Error error = fd ? system_error("stat", errno) : fd.error();
      inodes_.unpin(*id);
      if (error.code != Code::NotFound) return error;
      continue;
    }
    if (S_ISDIR(st.st_mode)) {
      const auto depth = static_cast<std::size_t>(std::ranges::count(path->path, '/')) + (path->path.empty() ? 0 : 1);
      const Depth looks = marks.whole ? Depth::All : marks.children ? Depth::Children : Depth::Entries;
      directories.push_back({depth, {.kind = Kind::Scan, .key = key, .depth = looks, .doubtful = marks.children}});
      for (const std::string& name : marks.trees) {
        directories.push_back({depth, {.kind = Kind::Fix, .key = key, .name = name, .depth = Depth::All, .doubtful = true}});
      }
      inodes_.unpin(*id);
      continue;
    }
    if (marks.whole && st.st_nlink > 1) {
      // One of its names may be in a directory that is not marked: the peer could not know that it is this inode's.
      inodes_.unpin(*id);
      return Error{Code::Conflict, "a file with several names is new: all names are compared with the next connection"};
    }
    auto work = std::make_shared<Work>();
    work->id = *id;
    work->size = S_ISREG(st.st_mode) ? static_cast<std::uint64_t>(st.st_size) : 0;
    Job job{.kind = Kind::Inode, .work = std::move(work), .fate = wire::EntryFate::Compare};
    if (!marks.whole) {
      job.only_zones = true;
      job.zones = zones_of(marks);
      job.compared = zones_in_doubt(marks.doubtful);
    }
    inodes.push_back(std::move(job));
  }
  return {};
}

Status ResyncRun::run_leftovers(const std::vector<InodeId>& leftovers) {
  more_scans(true);
  Status queued{};
  for (const InodeId id : leftovers) {
    if (queued) queued = fix_path(id);
  }
  more_scans(false);
  return queued ? settle() : queued;
}

/// Queues the entry by which the inode is reached now; nothing for one that has no name any more.
Status ResyncRun::fix_path(InodeId id) {
  const auto names = order_.names_exclusive();
  auto path = inodes_.path_of(id);
  if (!path && path.error().code == Code::NotFound) {
    // Nobody uses it any more, but it may have a name still.
    const auto key = host_.key_of_forgotten(id);
    if (!key && key.error().code != Code::NotFound) return key.error();
    const auto handle = key ? from_key(*key) : Result<FileHandle>{key.error()};
    if (const auto again = handle ? inodes_.pin(*handle) : Result<InodeId>{handle.error()}) {
      path = inodes_.path_of(*again);
      inodes_.unpin(*again);
    }
  }
  if (!path) return path.error().code == Code::NotFound ? Status{} : Status{path.error()};
  InodeId at = inodes_.root_id(path->root);
  SK_TRY(FileHandle parent, inodes_.handle_of(at));
  if (path->path.empty()) {
    push({.kind = Kind::Scan, .key = to_key(parent), .depth = Depth::All});
    return {};
  }
  std::vector<InodeId> pinned;
  std::string name;
  for (std::size_t begin = 0; begin <= path->path.size();) {
    const std::size_t end = std::min(path->path.find('/', begin), path->path.size());
    name = path->path.substr(begin, end - begin);
    begin = end + 1;
    if (begin > path->path.size()) break;
    const auto next = inodes_.pin(at, name);
    if (!next) break;
    pinned.push_back(*next);
    at = *next;
    if (const auto handle = inodes_.handle_of(at)) parent = *handle;
  }
  push({.kind = Kind::Fix, .key = to_key(parent), .name = name, .depth = Depth::All});
  for (const InodeId pin : pinned) inodes_.unpin(pin);
  return {};
}

void ResyncRun::names_changed(const HandleKey& parent, const std::string& name) {
  {
    const std::lock_guard lock{mutex_};
    if (scans_ == 0 || stopped_) return;
  }
  push({.kind = Kind::Fix, .key = parent, .name = name, .depth = Depth::All});
}

/// A directory: all its entries, or the one name that changed behind a listing.
Status ResyncRun::list(const Job& job) {
  Status sent = list_once(job);
  {
    const std::lock_guard lock{mutex_};
    --scans_;
    if (job.kind == Kind::Scan) ++progress_.directories_done;
  }
  // Removed meanwhile: that is in the stream. Any other error ends the synchronisation, or a copy that lacks something
  // would be called complete.
  if (!sent && sent.error().code == Code::NotFound) return {};
  return sent;
}

Status ResyncRun::list_once(const Job& job) {
  SK_TRY_VOID(host_.wait_for_room());
  SK_TRY(const auto handle, from_key(job.key));
  InodeId id{};
  Status sent{};
  {
    const auto names = order_.names_exclusive();
    SK_TRY(id, inodes_.pin(handle));
    sent = host_.make_known(id);
    if (sent && job.kind == Kind::Fix) {
      sent = put_listing(id, {job.name}, job);
    } else if (sent) {
      const auto opened = inodes_.open(id, O_RDONLY | O_DIRECTORY);
      const Fd fd{opened ? *opened : -1};
      const auto entries = opened ? tree::entries_of(fd.get()) : Result<std::vector<std::string>>{opened.error()};
      sent = entries ? put_listing(id, *entries, job) : Status{entries.error()};
    }
  }
  if (sent) {
    const auto opened = inodes_.open(id, O_PATH);
    const Fd fd{opened ? *opened : -1};
    const auto told = opened ? send_state(id, fd.get(), false) : Result<bool>{opened.error()};
    if (!told) sent = told.error();
  }
  inodes_.unpin(id);
  return sent;
}

/// Caller holds names exclusively.
Status ResyncRun::put_listing(InodeId directory, const std::vector<std::string>& names, const Job& job) {
  SK_TRY(const int opened, inodes_.open(directory, O_RDONLY | O_DIRECTORY));
  const Fd fd{opened};
  const bool complete = job.kind == Kind::Scan;
  Listed list{.entries = {}, .depth = job.depth, .doubtful = job.doubtful};
  const auto give_up = [&](const Error& error) -> Status {
    for (const Entry& entry : list.entries) inodes_.unpin(entry.id);
    return error;
  };
  wire::Listing frame{.directory = directory, .complete = complete, .last = false};
  std::size_t bytes = 0;
  for (const std::string& name : names) {
    wire::ListingEntry out;
    auto entry = describe(directory, fd.get(), name, job, out);
    if (!entry) {
      if (entry.error().code == Code::NotFound) continue;
      return give_up(entry.error());
    }
    if (job.doubtful && !S_ISDIR(out.mode) && out.links > 1) {
      // Which of its names came or went nobody has noted.
      inodes_.unpin(entry->id);
      return give_up({Code::Conflict, fmt::format("'{}', of a directory that was changed, has several names: all names are "
                                                  "compared with the next connection", name)});
    }
    bytes += out.name.size() + out.link_target.size() + 40;
    frame.entries.push_back(std::move(out));
    list.entries.push_back(std::move(*entry));
    if (bytes < kListingBytesMax && frame.entries.size() < wire::kListingEntriesMax) continue;
    if (const auto sent = host_.put(frame); !sent) return give_up(sent.error());
    frame.entries.clear();
    bytes = 0;
  }
  frame.last = true;
  if (!complete && list.entries.empty()) return {};
  {
    const std::lock_guard lock{mutex_};
    ++scans_;  // until the answer is worked on
  }
  const auto sequence = host_.put(frame);
  if (!sequence) {
    const std::lock_guard lock{mutex_};
    --scans_;
    return give_up(sequence.error());
  }
  for (const Entry& entry : list.entries) host_.note_known(entry.id, entry.key);
  listing_sent(*sequence, std::move(list));
  return {};
}

Result<ResyncRun::Entry> ResyncRun::describe(InodeId directory, int fd, const std::string& name, const Job& job,
                                             wire::ListingEntry& entry) {
  struct stat st {};
  if (::fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return system_error("stat", errno);
  if (!inodes_.is_replicated(directory, name, S_ISDIR(st.st_mode))) return Error{Code::NotFound, "not replicated"};
  SK_TRY(const InodeId id, inodes_.pin(directory, name));
  const auto handle = inodes_.handle_of(id);
  const auto target = S_ISLNK(st.st_mode) ? tree::link_target(fd, name) : Result<std::string>{std::string{}};
  if (!handle || !target) {
    inodes_.unpin(id);
    return !handle ? handle.error() : target.error();
  }
  HandleKey key = to_key(*handle);
  entry = {.name = name,
           .id = id,
           .identity = identity_of(key),
           .mode = st.st_mode,
           .device = st.st_rdev,
           .links = static_cast<std::uint32_t>(st.st_nlink),
           .link_target = *target,
           .size = static_cast<std::uint64_t>(st.st_size),
           .mtime = {st.st_mtim.tv_sec, static_cast<std::uint32_t>(st.st_mtim.tv_nsec)}};
  Entry described{.id = id, .key = std::move(key), .mode = st.st_mode, .size = S_ISREG(st.st_mode) ? entry.size : 0};
  described.chosen = job.depth == Depth::Chosen && is_chosen(job.key, name, described, st);
  return described;
}

void ResyncRun::listing_sent(SequenceNumber sequence, Listed&& list) {
  std::unique_lock lock{mutex_};
  const auto early = early_listings_.extract(sequence.value);
  if (early.empty()) {
    listings_.emplace(sequence.value, std::move(list));
    return;
  }
  lock.unlock();
  listed(std::move(list), early.mapped().fates);
}

Status ResyncRun::answer(wire::ListingAnswer&& message) {
  std::unique_lock lock{mutex_};
  ++answers_;
  auto waiting = listings_.extract(message.sequence.value);
  if (waiting.empty()) {
    SK_TRY_VOID(check_early());
    early_listings_.emplace(message.sequence.value, std::move(message));
    return {};
  }
  ++running_;  // so that nobody finds all done before the new jobs are queued
  lock.unlock();
  listed(std::move(waiting.mapped()), message.fates);
  lock.lock();
  --running_;
  lock.unlock();
  wake_.notify_all();
  changed_();
  return {};
}

void ResyncRun::listed(Listed&& list, const std::vector<wire::EntryFate>& fates) {
  std::vector<Job> jobs;
  jobs.reserve(list.entries.size());
  for (std::size_t i = 0; i < list.entries.size(); ++i) {
    Entry& entry = list.entries[i];
    const bool directory = S_ISDIR(entry.mode);
    // No answer for it: the directory itself was not there; the peer names it as a leftover.
    const wire::EntryFate fate = i < fates.size() ? fates[i] : wire::EntryFate::Kept;
    const bool kept = i < fates.size() && (fate == wire::EntryFate::Kept || fate == wire::EntryFate::Alike);
    const bool skip = i >= fates.size() || (kept && (list.depth == Depth::Entries || (directory && list.depth == Depth::Children)));
    if (skip || directory) {
      const Depth below = list.depth == Depth::Chosen && kept && !entry.chosen ? Depth::Chosen : Depth::All;
      if (!skip) jobs.push_back({.kind = Kind::Scan, .key = std::move(entry.key), .depth = below, .doubtful = list.doubtful});
      inodes_.unpin(entry.id);
      continue;
    }
    auto work = std::make_shared<Work>();
    work->id = entry.id;
    work->size = entry.size;
    if (list.depth == Depth::Chosen && kept && !entry.chosen && is_told_by_marks(entry.key, fate)) {
      jobs.push_back(job_of_marks(entry.key, std::move(work)));
    } else {
      jobs.push_back({.kind = Kind::Inode, .work = std::move(work), .fate = fate});
    }
  }
  {
    const std::lock_guard lock{mutex_};
    for (Job& job : jobs) push_locked(std::move(job));
    --scans_;
  }
  wake_.notify_all();
}

}  // namespace safekit::replica
