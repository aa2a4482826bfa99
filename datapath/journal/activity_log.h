#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/journal/group_set.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::journal {

/// A moment at which two copies were on disk, but for what one activity log names from then on. id 0: none.
struct LogPoint {
  std::uint64_t id{0};          ///< of the log: random, one for each time that a copy becomes primary anew
  std::uint64_t checkpoint{0};  ///< grows with each checkpoint of the log
  friend bool operator==(const LogPoint&, const LogPoint&) = default;
};
/// A log that is complete from checkpoint `log` on tells all that has changed since `point`.
[[nodiscard]] bool reaches(const LogPoint& log, const LogPoint& point);

/// What of one inode was touched. A value.
struct ActiveInode {
  bool attributes{false};
  bool names{false};               ///< of a directory: entries; what is not a directory in it is to be compared
  std::set<std::string> trees{};   ///< of a directory: entries under which everything is to be compared
  GroupSet groups{};               ///< content
  std::string parent{}, name{};    ///< of what is no directory: where it was when first touched; handle key and entry
  friend bool operator==(const ActiveInode&, const ActiveInode&) = default;
};

/// One thing that is about to be touched for the first time.
struct ActivityEntry {
  enum class Kind : std::uint8_t { Attributes = 1, Groups = 2, Names = 3, Tree = 4, Everything = 5 };
  Kind kind{Kind::Attributes};
  std::string key{};        ///< file handle; at most kKeyBytesMax
  std::string parent{};     ///< Attributes, Groups: as in ActiveInode, both empty when unknown
  std::string name{};       ///< the same; Tree: the entry
  std::uint64_t first{0};   ///< Groups
  std::uint32_t count{0};   ///< Groups; 0: to the end
  friend bool operator==(const ActivityEntry&, const ActivityEntry&) = default;
};

/// What was touched since a checkpoint, by node-local file handle. A value. Bound: kEntriesMax, then `everything`.
struct Activity {
  static constexpr std::size_t kEntriesMax = 500'000;
  std::unordered_map<std::string, ActiveInode> inodes{};
  std::size_t entries{0};
  bool everything{false};

  /// True when it was not in it.
  bool add(const ActivityEntry& entry);
  void merge(const Activity& other);
  [[nodiscard]] std::vector<ActivityEntry> list() const;
  [[nodiscard]] bool empty() const { return inodes.empty() && !everything; }
  friend bool operator==(const Activity&, const Activity&) = default;
};

/// One of the two files of a log (docs/on-disk.md).
struct SegmentHead {
  std::uint64_t id{0};
  std::uint64_t number{0};  ///< grows by one with each file
  std::uint64_t from{0};    ///< the checkpoint from which on this file is complete by itself; at most `number`
  std::uint32_t zone_bytes{0};
  friend bool operator==(const SegmentHead&, const SegmentHead&) = default;
};
struct Segment {
  SegmentHead head{};
  Activity activity{};
  friend bool operator==(const Segment&, const Segment&) = default;
};

inline constexpr std::size_t kBlockBytes = 512;         ///< a disk writes so much or nothing of it
inline constexpr std::size_t kChunkBytes = 64U << 10;   ///< files grow by so much, of zeros
inline constexpr std::size_t kKeyBytesMax = 136;
inline constexpr std::size_t kSegmentBytesMax = 256U << 20;

/// Blocks that hold the entries, at least one; the first is block `index` of its file, and all before it is on disk. With
/// index 0: the beginning of a file, which gets its name when all of them are on disk.
[[nodiscard]] Bytes encode_blocks(const SegmentHead& head, std::uint32_t index, std::span<const ActivityEntry> entries);
/// Reads a whole file. Blocks of the batch that was being written may be missing; anything else that is not as it was
/// written makes it Corrupt (a bad block, one that is missing, another size), a newer format Unsupported.
Result<Segment> decode_segment(BytesView bytes);

}  // namespace safekit::journal
