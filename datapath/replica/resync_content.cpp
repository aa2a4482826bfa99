// Attributes and content of one inode: the second half of ResyncRun.
#include <fcntl.h>
#include <sys/stat.h>

#include "datapath/replica/resync_run.h"
#include "datapath/replica/tree_call.h"
#include "datapath/resync/zone_digest.h"

namespace safekit::replica {

namespace {

constexpr std::uint64_t kPieceBytes = 256U << 10;      ///< of bulk in one frame: what a waiting fsync may find before it
constexpr std::uint64_t kDigestBytes = 4U << 20;       ///< compared by one frame
constexpr std::uint32_t kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

}  // namespace

Status ResyncRun::send_state(InodeId id) {
  SK_TRY(const int opened, inodes_.open(id, O_PATH));
  const Fd fd{opened};
  const auto content = order_.content(id);
  SK_TRY(const auto attributes, tree::attributes_of(fd.get()));
  SK_TRY(auto xattrs, tree::xattrs_of(fd.get()));
  SK_TRY(const auto sequence, host_.put(wire::InodeState{id, attributes, std::move(xattrs)}));
  (void)sequence;  // not answered
  return {};
}

Status ResyncRun::send_inode(const Job& job) {
  const InodeId id = job.work->id;
  SK_TRY_VOID(host_.wait_for_room());
  {
    const auto names = order_.names_shared();
    const Status known = host_.make_known(id);
    if (!known) return known.error().code == Code::NotFound ? Status{} : known;  // removed meanwhile
  }
  Status sent = send_state(id);
  if (sent) {
    const auto opened = inodes_.open(id, O_PATH);
    const Fd fd{opened ? *opened : -1};
    const auto attributes = opened ? tree::attributes_of(fd.get()) : Result<wire::Attributes>{opened.error()};
    if (!attributes) {
      sent = attributes.error();
    } else if (S_ISREG(attributes->mode)) {
      if (job.only_zones) {
        sent = send_zones(id, job.zones);
        for (const auto& [begin, end] : job.compared) {
          if (sent) sent = compare(job.work, begin, end);
        }
      } else {
        sent = job.fate == wire::EntryFate::Fresh ? send_all(id) : compare(job.work, 0, UINT64_MAX);
      }
    }
  }
  if (!sent && sent.error().code == Code::NotFound) sent = {};
  return sent;
}

/// The peer's file is new and empty: holes need not be sent.
Status ResyncRun::send_all(InodeId id) {
  SK_TRY(const int opened, inodes_.open(id, O_RDONLY));
  const Fd fd{opened};
  for (std::uint64_t offset = 0;;) {
    const auto segment = resync::segment_at(fd.get(), offset, UINT64_MAX);
    if (!segment) return {};
    const std::uint64_t end = segment->offset + segment->size;
    // A hole that is filled from now on is filled by live writes, which the peer gets too.
    if (!segment->hole) SK_TRY_VOID(send_range(id, fd.get(), offset, end, false));
    offset = end;
  }
}

/// Zones [begin, end).
Status ResyncRun::compare(const WorkRef& work, std::uint64_t begin, std::uint64_t end) {
  SK_TRY(const int opened, inodes_.open(work->id, O_RDONLY));
  const Fd fd{opened};
  const std::uint64_t zone = settings_.zone_bytes;
  const std::uint64_t batch = std::min<std::uint64_t>(std::max(kDigestBytes / zone, std::uint64_t{1}), wire::kZoneDigestsMax);
  const std::uint64_t upto = end > UINT64_MAX / zone ? UINT64_MAX : end * zone;
  for (std::uint64_t first = begin; first < end;) {
    const auto segment = resync::segment_at(fd.get(), first * zone, upto);
    if (!segment) return {};
    if (segment->hole && segment->size >= zone) {
      const std::uint64_t zones = segment->size / zone;
      SK_TRY_VOID(send_range(work->id, fd.get(), first * zone, (first + zones) * zone, true));
      first += zones;
      continue;
    }
    const std::uint64_t bytes = std::min(segment->size, batch * zone);
    const std::uint64_t count = std::max<std::uint64_t>(segment->hole ? 1 : (bytes + zone - 1) / zone, 1);
    SK_TRY_VOID(host_.wait_for_room());
    SK_TRY(auto digests, resync::digest_zones(fd.get(), settings_.zone_bytes, first, count));
    ++work->parts;
    const auto sequence = host_.put(wire::ZoneDigests{work->id, first, std::move(digests)});
    if (!sequence) {
      --work->parts;
      return sequence.error();
    }
    asked(*sequence, {work, first});
    first += count;
    const std::lock_guard lock{mutex_};
    progress_.bytes_compared += std::min(segment->size, count * zone);
  }
  return {};
}

void ResyncRun::asked(SequenceNumber sequence, Asked&& question) {
  std::unique_lock lock{mutex_};
  auto early = early_zones_.extract(sequence.value);
  asked_.emplace(sequence.value, std::move(question));
  lock.unlock();
  if (!early.empty()) answer(std::move(early.mapped()));
}

void ResyncRun::answer(wire::ZonesWanted&& message) {
  std::unique_lock lock{mutex_};
  ++answers_;
  auto waiting = asked_.extract(message.sequence.value);
  if (waiting.empty()) {
    early_zones_.emplace(message.sequence.value, std::move(message));
    return;
  }
  Asked& question = waiting.mapped();
  std::vector<std::uint64_t> zones;
  for (const std::uint32_t position : message.wanted) zones.push_back(question.first + position);
  // Also without wanted zones: a worker, not the receiver, finishes the inode.
  jobs_[static_cast<std::size_t>(Kind::Zones)].push_back(
      {.kind = Kind::Zones, .work = std::move(question.work), .zones = std::move(zones)});
  lock.unlock();
  wake_.notify_all();
}

Status ResyncRun::send_zones(InodeId id, const std::vector<std::uint64_t>& zones) {
  if (zones.empty()) return {};
  const auto opened = inodes_.open(id, O_RDONLY);
  if (!opened) return opened.error().code == Code::NotFound ? Status{} : Status{opened.error()};
  const Fd fd{*opened};
  for (const std::uint64_t zone : zones) {
    SK_TRY_VOID(send_range(id, fd.get(), zone * settings_.zone_bytes, (zone + 1) * settings_.zone_bytes, true));
  }
  return {};
}

Status ResyncRun::send_range(InodeId id, int fd, std::uint64_t begin, std::uint64_t end, bool punch) {
  Bytes buffer;
  for (std::uint64_t offset = begin; offset < end;) {
    SK_TRY_VOID(host_.wait_for_room());
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
  }
  return {};
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
  Status done = set_time();
  inodes_.unpin(work->id);
  {
    const std::lock_guard lock{mutex_};
    ++progress_.files_done;
  }
  if (!done && done.error().code == Code::NotFound) done = {};
  return done;
}

}  // namespace safekit::replica
