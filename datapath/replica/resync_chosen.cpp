// A synchronisation that looks only into chosen files.
#include <sys/stat.h>

#include "datapath/replica/marked_zones.h"
#include "datapath/replica/resync_run.h"
#include "datapath/resync/outside.h"

namespace safekit::replica {

Status ResyncRun::run_chosen(const journal::ZoneMap& map, std::int64_t since) {
  map_ = map;
  since_ = since;
  return run_from_roots(Depth::Chosen);
}

/// Of what is listed: is more of it in doubt than some zones?
bool ResyncRun::is_chosen(const HandleKey& directory, const std::string& name, const Entry& entry, const struct stat& st) const {
  if (since_ != 0 && S_ISREG(entry.mode)) {
    const auto is_since = [this](const timespec& time) {
      return resync::is_since({time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)}, since_);
    };
    if (is_since(st.st_ctim) || is_since(st.st_mtim)) return true;
  }
  const auto marks = map_.inodes().find(entry.key);
  if (marks != map_.inodes().end() && marks->second.whole) return true;
  const auto above = map_.inodes().find(directory);
  if (above == map_.inodes().end()) return false;
  return above->second.trees.contains(name) || (above->second.children && !S_ISDIR(entry.mode));
}

/// Do the marks say all about content that both have? With a date they are not known to be complete, so that size and time count.
bool ResyncRun::is_told_by_marks(const HandleKey& key, wire::EntryFate fate) const {
  return fate == wire::EntryFate::Alike || (since_ == 0 && map_.inodes().contains(key));
}

/// Attributes, and the zones that are marked.
ResyncRun::Job ResyncRun::job_of_marks(const HandleKey& key, WorkRef work) const {
  Job job{.kind = Kind::Inode, .work = std::move(work), .fate = wire::EntryFate::Compare, .only_zones = true};
  if (const auto marks = map_.inodes().find(key); marks != map_.inodes().end()) {
    job.zones = zones_of(marks->second);
    job.compared = zones_in_doubt(marks->second.doubtful);
  }
  return job;
}

}  // namespace safekit::replica
