#pragma once

#include <span>
#include <string>

#include "datapath/journal/activity_log.h"

namespace safekit::journal {

/// The files of one copy's activity log, `activity.0` and `activity.1`: what was touched before and after the last
/// checkpoint that was begun. Until that one is confirmed both are needed.
/// Errors: Io; Corrupt or Unsupported where a file cannot be used: the caller then knows nothing of what was touched.
/// Thread: none; one call at a time. A service.
class ActivityFile {
 public:
  ActivityFile(std::string directory, std::uint32_t zone_bytes) : directory_(std::move(directory)), zone_bytes_(zone_bytes) {}
  ~ActivityFile();
  ActivityFile(const ActivityFile&) = delete;
  ActivityFile& operator=(const ActivityFile&) = delete;

  /// What the files say since `expected`, which the journal names. Changes nothing.
  [[nodiscard]] static Result<Activity> read(const std::string& directory, const LogPoint& expected, std::uint32_t zone_bytes);
  /// Whatever is there is of no use any more.
  static void remove(const std::string& directory);

  /// A new log. Its first checkpoint is 1.
  Status create(std::uint64_t id);
  /// Goes on with a log: what was touched so far, put into one new file.
  Result<Activity> resume(const LogPoint& expected);
  /// On disk when it returns.
  Status append(std::span<const ActivityEntry> entries);
  /// What comes is in a new file; the old one is needed until `drop_old`.
  Status rotate();
  Status drop_old();

  /// The log is complete from here on.
  [[nodiscard]] LogPoint point() const { return {head_.id, from_}; }
  /// The checkpoint that `rotate` has begun.
  [[nodiscard]] std::uint64_t number() const { return head_.number; }

 private:
  Status begin(const SegmentHead& head, std::span<const ActivityEntry> entries);

  std::string directory_{};
  std::uint32_t zone_bytes_{0};
  SegmentHead head_{};
  std::uint64_t from_{0};
  int fd_{-1};
  std::uint32_t blocks_{0};
  std::uint64_t bytes_{0};
};

}  // namespace safekit::journal
