#pragma once

#include <memory>
#include <string>
#include <unordered_set>

#include "datapath/linux/fd.h"
#include "datapath/lost/claim.h"
#include "datapath/lost/manifest.h"

namespace safekit::lost {

/// Names in a manifest that say no more than that something is new on the other side are not worth more room.
inline constexpr std::uint64_t kAbsentMax = 10'000;
/// Of a manifest; what finds no room in it is counted.
inline constexpr std::uint64_t kManifestBytesMax = 64U << 20;

/// Inodes that the synchronisation made, which are nobody's lost writes; of more it is not known (128 MiB of memory).
inline constexpr std::size_t kMadeMax = 4U << 20;

/// Appends to one set. Nothing is on the disk for sure before `flush`. What finds no room is noted as lost, by name and size;
/// that is no error.
/// Errors: Io, which names the directory: nothing may be overwritten then.
/// Thread: one. A service.
class SetWriter {
 public:
  /// The set of `head.lost` in `directory`, gone on with where it is there; else a new one, named after `head.begun`. By others
  /// there may be many of one generation: only one that has not ended is gone on with.
  /// `quota`: bytes of all sets in the directory.
  static Result<std::unique_ptr<SetWriter>> open(const std::string& directory, std::uint64_t quota, const Head& head);
  ~SetWriter();
  SetWriter(const SetWriter&) = delete;
  SetWriter& operator=(const SetWriter&) = delete;

  /// As far as it was written before.
  [[nodiscard]] const Contents& before() const { return before_; }
  [[nodiscard]] const Summary& summary() const { return summary_; }

  /// The item's number; 0 when it found no room in the manifest.
  Result<std::uint64_t> add(Item item);
  /// Bytes of an item, from a descriptor: shared where the file system can, else copied. Holes stay holes.
  Status keep(std::uint64_t item, int fd, Range range);
  Status removed(std::uint64_t item);
  Status name(std::uint64_t item, std::uint32_t root, std::string path);
  /// All so far is on the disk.
  Status flush();
  /// A set without anything in it is removed.
  Status end(WallTime now);
  /// `digest` of the handle of an inode that the synchronisation made.
  void made(std::uint64_t digest);
  [[nodiscard]] bool is_made(std::uint64_t digest) const { return made_.contains(digest); }

 private:
  explicit SetWriter(std::string path) : path_(std::move(path)) {}
  Status go_on();
  Status begin(const Head& head);
  Status append(const Record& record);
  Status keep_data(std::uint64_t item, int fd, Range range);
  Status note(Piece piece);
  [[nodiscard]] bool has_room(std::uint64_t bytes) const;
  Result<bool> copy(int fd, Range range, std::uint64_t at);
  Status write_summary();
  [[nodiscard]] Error io_error(const char* what) const;

  std::string path_{};
  Fd manifest_{};
  Fd data_{};
  std::uint64_t quota_{0};
  std::uint64_t others_{0};  ///< bytes of the other sets
  std::uint64_t manifest_bytes_{0};
  std::uint64_t data_bytes_{0};
  std::uint64_t absent_{0};
  std::uint64_t unlisted_{0};
  std::uint64_t last_missed_{0};  ///< number of the last item that counts as missed
  bool dirty_{false};
  bool is_gone_{false};
  std::unordered_set<std::uint64_t> made_{};
  Fd made_file_{};
  Contents before_{};
  Summary summary_{};
};

}  // namespace safekit::lost
