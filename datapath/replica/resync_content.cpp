// Attributes and content of one inode: the second half of ResyncRun.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "datapath/replica/resync_run.h"
#include "datapath/replica/tree_call.h"
#include "datapath/resync/zone_digest.h"

namespace safekit::replica {

namespace {

constexpr std::uint64_t kPieceBytes = 256U << 10;      ///< of bulk in one frame: what a waiting fsync may find before it
constexpr std::uint64_t kDigestBytes = 4U << 20;       ///< compared by one frame
constexpr std::uint64_t kAskedBytesMax = 64U << 20;     ///< that the peer has to read
constexpr std::uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

}  // namespace

/// `fresh`: the peer's inode is new. Says whether all that a fresh regular file holds went with it.
Result<bool> ResyncRun::send_state(InodeId id, int fd, bool fresh) {
  const auto content = order_.content(id);
  SK_TRY(const auto attributes, tree::attributes_of(fd));
  SK_TRY(auto xattrs, tree::xattrs_of(fd));
  wire::InodeState state{.id = id, .attributes = attributes, .xattrs = std::move(xattrs)};
  Bytes bytes;
  if (fresh && S_ISREG(attributes.mode) && attributes.size <= kPieceBytes) {
    // One segment without a hole, or the peer would fill what takes no room here.
    const auto segment = resync::segment_at(fd, 0, attributes.size);
    state.with_content = !segment || (!segment->hole && segment->size == attributes.size);
    if (state.with_content) {
      bytes.resize(attributes.size);
      SK_TRY(const std::size_t size, tree::read_at(fd, bytes, 0));
      if (size != bytes.size()) return Error{Code::Conflict, "a file became shorter while it was locked: who writes below the mount?"};
    }
  }
  SK_TRY(const auto sequence, host_.put(state, bytes));
  (void)sequence;  // not answered
  if (!state.with_content) return false;
  const std::lock_guard lock{mutex_};
  progress_.bytes_copied += bytes.size();
  return true;
}

Status ResyncRun::send_inode(const Job& job) {
  const InodeId id = job.work->id;
  SK_TRY_VOID(host_.wait_for_room());
  {
    const auto names = order_.names_shared();
    const Status known = host_.make_known(id);
    if (!known) return known.error().code == Code::NotFound ? Status{} : known;  // removed meanwhile
  }
  const Status sent = send_parts(job);
  return !sent && sent.error().code == Code::NotFound ? Status{} : sent;  // as above
}

Status ResyncRun::send_parts(const Job& job) {
  const InodeId id = job.work->id;
  // Nothing but a regular file is opened: to open a device may do something.
  SK_TRY(int opened, inodes_.open(id, O_PATH));
  Fd fd{opened};
  SK_TRY(const auto attributes, tree::attributes_of(fd.get()));
  const bool regular = S_ISREG(attributes.mode);
  if (regular) {
    SK_TRY(opened, inodes_.open(id, O_RDONLY));
    fd.reset(opened);
  }
  const bool fresh = job.fate == wire::EntryFate::Fresh;
  bool is_whole = false;
  {
    const auto mine = host_.syncs_first().turn();
    SK_TRY(is_whole, send_state(id, fd.get(), fresh));
  }
  if (!regular || is_whole) return {};
  if (job.only_zones) {
    SK_TRY_VOID(send_zones(job.work, job.zones));
    for (const auto& [begin, end] : job.compared) SK_TRY_VOID(compare(job.work, fd.get(), begin, end));
    return {};
  }
  return fresh ? send_all(job.work, fd.get()) : compare(job.work, fd.get(), 0, UINT64_MAX);
}

/// The peer's file is new and empty: holes need not be sent.
Status ResyncRun::send_all(const WorkRef& work, int fd) {
  for (std::uint64_t offset = 0;;) {
    const auto segment = resync::segment_at(fd, offset, UINT64_MAX);
    if (!segment) return {};
    const std::uint64_t end = segment->offset + segment->size;
    // A hole that is filled from now on is filled by live writes, which the peer gets too.
    if (!segment->hole) SK_TRY_VOID(send_range(work, fd, offset, end, false));
    offset = end;
  }
}

/// Until little of what the peer was asked to read is left. The caller holds no lock.
Status ResyncRun::wait_for_peer() {
  std::unique_lock lock{mutex_};
  wake_.wait(lock, [this] { return stopped_ || asked_bytes_ <= kAskedBytesMax; });
  return stopped_ ? Status{Error{Code::Unavailable, "the synchronisation has ended"}} : Status{};
}

/// Zones [begin, end).
Status ResyncRun::compare(const WorkRef& work, int fd, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t zone = settings_.zone_bytes;
  const std::uint64_t upto = end > UINT64_MAX / zone ? UINT64_MAX : end * zone;
  for (std::uint64_t first = begin; first < end;) {
    const auto segment = resync::segment_at(fd, first * zone, upto);
    if (!segment) return {};
    if (segment->hole && segment->size >= zone) {
      const std::uint64_t zones = segment->size / zone;
      SK_TRY_VOID(send_range(work, fd, first * zone, (first + zones) * zone, true));
      first += zones;
      continue;
    }
    const std::uint64_t batch = std::min<std::uint64_t>(std::max(kDigestBytes / zone, std::uint64_t{1}), wire::kZoneDigestsMax);
    const std::uint64_t bytes = std::min(segment->size, batch * zone);
    const std::uint64_t count = std::max<std::uint64_t>(segment->hole ? 1 : (bytes + zone - 1) / zone, 1);
    SK_TRY_VOID(ask(work, fd, first, count));
    first += count;
    const std::lock_guard lock{mutex_};
    progress_.bytes_compared += std::min(segment->size, count * zone);
    count_done(*work, std::min(segment->size, count * zone));
  }
  return {};
}

Status ResyncRun::ask(const WorkRef& work, int fd, std::uint64_t first, std::uint64_t count) {
  SK_TRY_VOID(host_.wait_for_room());
  SK_TRY_VOID(wait_for_peer());
  SK_TRY(auto digests, host_.syncs_first().digest_zones(fd, settings_.zone_bytes, first, count));
  ++work->parts;
  const auto sequence = host_.put(wire::ZoneDigests{work->id, first, std::move(digests)});
  if (!sequence) {
    --work->parts;
    return sequence.error();
  }
  return asked(*sequence, {work, first, count});
}

Status ResyncRun::asked(SequenceNumber sequence, Asked&& question) {
  std::unique_lock lock{mutex_};
  asked_bytes_ += question.count * settings_.zone_bytes;
  auto early = early_zones_.extract(sequence.value);
  asked_.emplace(sequence.value, std::move(question));
  lock.unlock();
  return early.empty() ? Status{} : answer(std::move(early.mapped()));
}

/// Caller holds mutex_ and is about to keep an answer that nobody waits for yet. Each thread that asks has one question at a time
/// that is not noted.
Status ResyncRun::check_early() const {
  const std::size_t early_max = workers_.size() + 1;  // and who runs it
  if (early_listings_.size() + early_zones_.size() < early_max) return {};
  return Error{Code::Corrupt, "the peer answers what it was not asked"};
}

Status ResyncRun::answer(wire::ZonesWanted&& message) {
  std::unique_lock lock{mutex_};
  ++answers_;
  const auto waiting = asked_.find(message.sequence.value);
  if (waiting == asked_.end()) {
    SK_TRY_VOID(check_early());
    early_zones_.emplace(message.sequence.value, std::move(message));
    return {};
  }
  Asked& question = waiting->second;
  const auto is_asked = [&question](std::uint32_t position) { return position < question.count; };
  if (message.wanted.size() > question.count || !std::ranges::all_of(message.wanted, is_asked)) {
    return Error{Code::Corrupt, "the peer wants zones that were not compared"};
  }
  asked_bytes_ -= question.count * settings_.zone_bytes;
  std::vector<std::uint64_t> zones;
  for (const std::uint32_t position : message.wanted) zones.push_back(question.first + position);
  // Also without wanted zones: a worker, not the receiver, finishes the inode.
  jobs_[static_cast<std::size_t>(Kind::Zones)].push_back(
      {.kind = Kind::Zones, .work = std::move(question.work), .zones = std::move(zones)});
  asked_.erase(waiting);
  lock.unlock();
  wake_.notify_all();
  return {};
}

Status ResyncRun::send_zones(const WorkRef& work, const std::vector<std::uint64_t>& zones) {
  if (zones.empty()) return {};
  const auto opened = inodes_.open(work->id, O_RDONLY);
  if (!opened) return opened.error().code == Code::NotFound ? Status{} : Status{opened.error()};
  const Fd fd{*opened};
  for (const std::uint64_t zone : zones) {
    SK_TRY_VOID(send_range(work, fd.get(), zone * settings_.zone_bytes, (zone + 1) * settings_.zone_bytes, true));
  }
  return {};
}

Status ResyncRun::send_range(const WorkRef& work, int fd, std::uint64_t begin, std::uint64_t end, bool punch) {
  const InodeId id = work->id;
  Bytes buffer;
  work->time_moved = true;
  for (std::uint64_t offset = begin; offset < end;) {
    SK_TRY_VOID(host_.wait_for_room());
    const auto mine = host_.syncs_first().turn();
    const auto content = order_.content(id);
    const auto segment = resync::segment_at(fd, offset, end);
    if (!segment) return {};
    if (segment->hole) {
      if (punch) {
        SK_TRY(const auto sequence, host_.put(wire::Operation{wire::Fallocate{id, kPunch, offset, segment->size}}));
        (void)sequence;  // not answered
      }
      offset += segment->size;
      continue;
    }
    buffer.resize(std::min(segment->size, kPieceBytes));
    SK_TRY(const std::size_t size, tree::read_at(fd, buffer, offset));
    if (size == 0) return {};  // cut off meanwhile; the cut is in the stream
    SK_TRY(const auto sequence, host_.put(wire::Operation{wire::Write{id, offset, static_cast<std::uint32_t>(size)}},
                                          BytesView{buffer}.first(size)));
    (void)sequence;  // not answered
    offset += size;
    const std::lock_guard lock{mutex_};
    progress_.bytes_copied += size;
    if (!punch) count_done(*work, size);  // else it was counted when it was compared
  }
  return {};
}

/// Caller holds mutex_. A file may grow meanwhile, and be sent after it was compared: never more than was announced.
void ResyncRun::count_done(Work& work, std::uint64_t bytes) {
  const std::uint64_t counted = std::min(bytes, work.size - work.done);
  work.done += counted;
  progress_.bytes_done += counted;
}

/// One part is done; after the last the time of change is set again, which the copying has moved on the peer.
Status ResyncRun::release(const WorkRef& work) {
  if (--work->parts > 0) return {};
  const auto set_time = [&]() -> Status {
    SK_TRY(const int opened, inodes_.open(work->id, O_PATH));
    const Fd fd{opened};
    const auto content = order_.content(work->id);
    SK_TRY(const auto attributes, tree::attributes_of(fd.get()));
    SK_TRY(const auto sequence,
           host_.put(wire::Operation{wire::SetAttributes{work->id, wire::SetAttributes::kMtime, attributes}}));
    (void)sequence;  // not answered
    return {};
  };
  Status done = work->time_moved ? set_time() : Status{};
  inodes_.unpin(work->id);
  {
    const std::lock_guard lock{mutex_};
    ++progress_.files_done;
    count_done(*work, work->size);
  }
  if (!done && done.error().code == Code::NotFound) done = {};
  return done;
}

}  // namespace safekit::replica
