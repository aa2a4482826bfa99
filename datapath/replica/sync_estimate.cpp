#include "datapath/replica/sync_estimate.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>

#include "datapath/linux/fd.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/tree_call.h"

namespace safekit::replica {

namespace {

constexpr std::uint64_t kZonesOfGroup = journal::kGroupZones;

/// Of bytes [begin, end) what lies in the file.
std::uint64_t inside(std::uint64_t begin, std::uint64_t end, std::uint64_t size) {
  return std::min(end, size) - std::min(begin, size);
}

std::uint64_t marked_bytes(const std::map<std::uint64_t, std::uint64_t>& zones, std::uint64_t size, std::uint64_t zone_bytes) {
  std::uint64_t bytes = 0;
  for (const auto& [group, bits] : zones) {
    const std::uint64_t begin = group * kZonesOfGroup * zone_bytes;
    if (begin + kZonesOfGroup * zone_bytes <= size) {
      bytes += static_cast<std::uint64_t>(std::popcount(bits)) * zone_bytes;
      continue;
    }
    for (std::uint64_t bit = 0; bit < kZonesOfGroup; ++bit) {
      if ((bits >> bit & 1) != 0) bytes += inside(begin + bit * zone_bytes, begin + (bit + 1) * zone_bytes, size);
    }
  }
  return bytes;
}

std::uint64_t doubtful_bytes(const journal::GroupSet& groups, std::uint64_t size, std::uint64_t zone_bytes) {
  const std::uint64_t group_bytes = kZonesOfGroup * zone_bytes;
  const std::uint64_t all = (size + group_bytes - 1) / group_bytes;
  std::uint64_t bytes = groups.from < all ? size - groups.from * group_bytes : 0;
  for (const auto& [word, bits] : groups.words) {
    for (std::uint64_t bit = 0; bit < 64; ++bit) {
      const std::uint64_t group = word * 64 + bit;
      if ((bits >> bit & 1) == 0 || group >= std::min(all, groups.from)) continue;
      bytes += inside(group * group_bytes, (group + 1) * group_bytes, size);
    }
  }
  return bytes;
}

}  // namespace

void add_marks(SyncEstimate& estimate, const journal::InodeMarks& marks, const wire::Attributes& inode, std::uint32_t zone_bytes) {
  if (S_ISDIR(inode.mode)) {
    ++estimate.directories;
    // What is new in it is marked by itself; what was exchanged, and what a log of activity doubts, is not.
    estimate.compares_more = estimate.compares_more || marks.whole || marks.children || !marks.trees.empty();
    return;
  }
  ++estimate.files;
  if (!S_ISREG(inode.mode)) return;
  if (marks.whole) {
    estimate.bytes += inode.size;
    return;
  }
  estimate.bytes += marked_bytes(marks.zones, inode.size, zone_bytes);
  estimate.compared += doubtful_bytes(marks.doubtful, inode.size, zone_bytes);
}

Result<SyncEstimate> estimate_sync(const journal::ZoneMap& map, Inodes& inodes, TreeOrder& order, const std::function<Status()>& go_on) {
  SyncEstimate estimate;
  for (const auto& [key, marks] : map.inodes()) {
    SK_TRY_VOID(go_on());
    SK_TRY(const FileHandle handle, from_key(key));
    const auto look = [&]() -> Result<wire::Attributes> {
      SK_TRY(const InodeId id, [&] {
        const auto names = order.names_shared();
        return inodes.pin(handle);
      }());
      const auto opened = inodes.open(id, O_PATH);
      const Fd fd{opened ? *opened : -1};
      const auto attributes = opened ? tree::attributes_of(fd.get()) : Result<wire::Attributes>{opened.error()};
      inodes.unpin(id);
      return attributes;
    };
    const auto attributes = look();
    if (attributes) {
      add_marks(estimate, marks, *attributes, map.zone_bytes());
    } else if (attributes.error().code != Code::NotFound) {  // removed: its directory is marked
      return attributes.error();
    }
  }
  return estimate;
}

}  // namespace safekit::replica
