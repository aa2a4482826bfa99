#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "datapath/journal/activity_log.h"
#include "schema/base/bytes.h"
#include "schema/base/ids.h"
#include "schema/base/result.h"

namespace safekit::journal {

/// What of one inode the peer may not have. A value.
struct InodeMarks {
  bool attributes{false};  ///< mode, owner, times, xattrs
  bool entries{false};     ///< of a directory
  bool whole{false};       ///< all content: the inode is new, or has got another name; of a directory: everything below
  /// Bitmap of zones by groups of 64: zone i is bit i % 64 of group i / 64.
  std::map<std::uint64_t, std::uint64_t> zones{};
  // From a log of activity: what may differ and is compared by digests.
  bool children{false};           ///< of a directory: what is not a directory in it
  std::set<std::string> trees{};  ///< of a directory: everything below these entries
  GroupSet doubtful{};            ///< content
  std::string parent{}, name{};   ///< where it was; only to find it
  friend bool operator==(const InodeMarks&, const InodeMarks&) = default;
};

/// Which zones and directories the peer may not have, by node-local file handle (as opaque bytes). A value.
/// Shape:  zone i of a file covers bytes [i * zone_bytes, (i + 1) * zone_bytes).
/// Bounds: kGroupsMax groups of zones and kInodesMax inodes; beyond, `overflown()`: everything must be compared.
/// Errors: decode gives Corrupt for a wrong checksum or length, Unsupported for a newer version; nothing else can fail.
/// Thread: none; the owner locks.
/// Source: docs/on-disk.md (zone map).
class ZoneMap {
 public:
  static constexpr std::size_t kInodesMax = 200'000;
  static constexpr std::size_t kGroupsMax = 1'000'000;

  explicit ZoneMap(std::uint32_t zone_bytes = 1 << 16) : zone_bytes_(zone_bytes) {}

  /// The marks of one inode, made when missing; after an overflow a scratch value that nobody reads.
  InodeMarks& inode(const std::string& handle);
  void mark(const std::string& handle, std::uint64_t offset, std::uint64_t size);
  /// What a log of activity tells of the inode.
  void add(const std::string& handle, const ActiveInode& active);
  /// All that the other one marks too.
  void merge(const ZoneMap& other);
  void set_overflown();
  void clear();

  [[nodiscard]] bool overflown() const { return overflown_; }
  [[nodiscard]] bool empty() const { return !overflown_ && inodes_.empty(); }
  [[nodiscard]] std::uint32_t zone_bytes() const { return zone_bytes_; }
  [[nodiscard]] const std::unordered_map<std::string, InodeMarks>& inodes() const { return inodes_; }
  [[nodiscard]] std::uint64_t zone_count() const;

  /// `generation`: the one whose changes these are; the reader checks it.
  [[nodiscard]] Bytes encode(DataGeneration generation) const;
  static Result<ZoneMap> decode(BytesView bytes, DataGeneration generation);
  friend bool operator==(const ZoneMap&, const ZoneMap&) = default;

 private:
  std::uint32_t zone_bytes_{1 << 16};
  bool overflown_{false};
  std::size_t groups_{0};
  std::unordered_map<std::string, InodeMarks> inodes_{};
  InodeMarks scratch_{};
};

}  // namespace safekit::journal
