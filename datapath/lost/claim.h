#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datapath/journal/data_generations.h"
#include "datapath/journal/zone_map.h"
#include "schema/base/bytes.h"

/// What is to be set aside, before an operation of a synchronisation destroys it. All pure.
namespace safekit::lost {

/// Bytes are set aside by blocks, so that a file system that can share them does.
inline constexpr std::uint64_t kBlockBytes = 4096;

/// Bytes [begin, end) of a file.
struct Range {
  std::uint64_t begin{0};
  std::uint64_t end{0};
  friend bool operator==(const Range&, const Range&) = default;
};

/// A set of bytes of a file. A value.
class Ranges {
 public:
  void add(Range range);
  /// What of `range` is not in the set.
  [[nodiscard]] std::vector<Range> missing(Range range) const;
  friend bool operator==(const Ranges&, const Ranges&) = default;

 private:
  std::map<std::uint64_t, std::uint64_t> parts_{};  ///< begin to end, apart from each other
};

/// This copy has writes that a synchronisation from the other one would overwrite: both were written since they parted, or
/// this one is newer (the other was forced to serve). `relation`: the primary's copy, seen from this one.
[[nodiscard]] bool loses_writes(journal::Relation relation);
/// This copy's zone map names every place at which it can differ from the winner's *by its own writes*: the winner's copy is
/// what the two had in common, and whatever the winner wrote.
[[nodiscard]] bool map_tells(const journal::DataGenerations& mine, const journal::DataGenerations& winner);

/// What others changed, as a map of what is this copy's own: of files all, of directories names and attributes.
[[nodiscard]] journal::ZoneMap changed_by_others(const journal::Activity& changes, std::uint32_t zone_bytes);

/// Which inodes and zones this copy wrote itself. Without a map: perhaps all.
class Own {
 public:
  explicit Own(std::optional<journal::ZoneMap> map = {}) : map_(std::move(map)) {}
  [[nodiscard]] bool has_map() const { return map_.has_value(); }
  /// Content, attributes, or that it is there at all.
  [[nodiscard]] bool is_touched(const std::string& handle) const;
  /// Names came or went in this directory.
  [[nodiscard]] bool are_names(const std::string& directory) const;
  /// What of `range` it wrote, by zones.
  [[nodiscard]] std::vector<Range> content(const std::string& handle, Range range) const;

 private:
  [[nodiscard]] const journal::InodeMarks* marks(const std::string& handle) const;
  std::optional<journal::ZoneMap> map_{};
};

/// The whole blocks around `range`, up to the end of a file of `size` bytes.
[[nodiscard]] Range blocks_of(Range range, std::uint64_t size);
/// Which blocks an overwriting changes: `old_bytes` is what stands from `at` (a block's begin) on, `fresh` what comes to
/// `fresh_at`.
[[nodiscard]] std::vector<Range> changed_blocks(BytesView old_bytes, std::uint64_t at, BytesView fresh, std::uint64_t fresh_at);

/// What keeps a set from filling the disk.
struct Room {
  std::uint64_t quota{0};
  std::uint64_t used{0};   ///< by all sets of the module
  std::uint64_t free{0};   ///< of the file system
  std::uint64_t total{0};  ///< of the file system
};
[[nodiscard]] bool fits(const Room& room, std::uint64_t bytes);

}  // namespace safekit::lost
