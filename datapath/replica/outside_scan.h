#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "datapath/journal/activity_log.h"
#include "datapath/linux/fd.h"
#include "datapath/replica/exclusion.h"

namespace safekit::replica {

/// What others changed in a copy while it was not served. A value.
struct Outside {
  journal::Activity changes{};  ///< as a log of activity would name it
  std::string unknown{};        ///< why it cannot be told; everything may differ then
  std::uint64_t looked_at{0};   ///< names
  std::uint64_t found{0};       ///< inodes
  std::string first{};          ///< path of one of them
  std::uint64_t meanwhile{0};   ///< inodes that were changed since the copy is served again: by the application, as far as can be told
  [[nodiscard]] bool empty() const { return changes.empty() && unknown.empty(); }
  void add(const Outside& more);
};

/// When others had the copy to themselves, of a ctime in ns.
struct Absence {
  std::int64_t since{0};
  std::int64_t until{INT64_MAX};  ///< what is later was changed meanwhile, and perhaps before as well
};
/// Looks at every name below the directories for inodes whose ctime is not before the absence.
/// Marks:   a file: attributes and all content; a directory: names, and what is no directory in it. A directory whose own and
///          whose parent's ctime are new may have been moved or exchanged: all below it, as a tree of its parent.
/// Unknown: a file that was changed and has several names; a directory that cannot be read; too much.
/// Skipped: what `exclusions` (by index; may be fewer) name, other mounts, and what goes away meanwhile: who changes names now
///          tells of it in another way.
/// Bounds:  one descriptor per worker; paths of at most kWaitingMax directories; journal::ZoneMap::kInodesMax.
/// Returns early, with less, when `stop` is asked for. Thread: any; starts workers.
Outside scan(const std::vector<Fd>& roots, const Exclusions& exclusions, const Absence& absence, unsigned workers,
             const std::stop_token& stop);

inline constexpr std::size_t kWaitingMax = 1'000'000;

}  // namespace safekit::replica
