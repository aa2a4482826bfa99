#pragma once

#include <array>
#include <condition_variable>
#include <mutex>
#include <set>
#include <span>
#include <unordered_map>

#include "datapath/journal/activity_file.h"
#include "datapath/journal/journal.h"
#include "datapath/replica/sink.h"
#include "schema/port/log.h"
#include "schema/port/random.h"

namespace safekit::replica {

/// A primary's log of activity: whatever is touched for the first time since the last checkpoint is on disk before the
/// change can be, on either node. Content is noted by groups of 64 zones, names by directory, so that a busy application
/// waits for this rarely; calls that have to wait do so together. docs/resync.md, "After a crash".
///
/// A checkpoint: `rotate` (what comes is noted anew), `await_older` (calls that relied on what was noted before are done),
/// both nodes put all on disk, `confirm` (what was noted before is forgotten).
/// Errors: a log that cannot be written is given up, in the journal first: all is compared then. Only when the journal cannot
/// be written either, `begin` fails, and nothing may be changed before `mend_journal` has succeeded.
/// Thread: begin, end, created, forget, point, activity, entries: any. The rest: one. A service.
class ActivityTracker {
 public:
  ActivityTracker(journal::Journal& journal, Log& log, std::uint32_t zone_bytes);
  ActivityTracker(const ActivityTracker&) = delete;
  ActivityTracker& operator=(const ActivityTracker&) = delete;

  /// Goes on with the log of the last time, or begins a new one. Errors: the journal's.
  Status open(Random& random);

  /// Also when it fails `end` is due.
  Status begin(Inodes& inodes, std::span<const Change> changes, std::uint32_t& ticket);
  void end(std::uint32_t ticket);
  /// A new inode in a directory that is noted needs no note of its own.
  void created(InodeId id, InodeId parent, const std::string& name, bool directory);
  void forget(InodeId id);

  /// The log is complete from here on; id 0 when it was given up.
  [[nodiscard]] journal::LogPoint point() const;
  /// All that was touched since `point`.
  [[nodiscard]] journal::Activity activity() const;
  [[nodiscard]] std::size_t entries() const;

  /// The checkpoint that is to be confirmed; of one that was not, the same again.
  Result<journal::LogPoint> rotate();
  void await_older();
  Status confirm(const journal::LogPoint& checkpoint);

  /// The journal says that a log which was given up is none. Errors: Io.
  Status mend_journal();
  /// A new log in the place of one that the disk refused. Waits for calls that were begun without one: they are in none. Nothing
  /// is done (false) while there is a log, or none can be. Errors: why there is none.
  Result<bool> begin_anew(std::uint64_t id);

 private:
  using Lock = std::unique_lock<std::mutex>;
  /// What is on disk of one inode since the last `rotate`.
  struct Noted {
    bool attributes{false};
    bool names{false};
    bool all{false};  ///< content and attributes, of a directory all below: it is new and its place is noted
    journal::GroupSet groups{};
    std::set<std::string, std::less<>> trees{};
    std::uint64_t next{0};  ///< where a sequential writer will need the next group
    std::uint32_t run{1};   ///< so many groups are noted then
  };

  [[nodiscard]] bool is_noted(const Change& change) const;
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> groups_of(const Change& change) const;
  Result<journal::ActivityEntry> entry_for(Inodes& inodes, const Change& change);
  void remember(const Change& change, const journal::ActivityEntry& entry);
  Status write(Lock& lock, std::uint64_t batch);
  Status give_up(Lock& lock, const Error& error);
  Status note_given_up();

  journal::Journal& journal_;
  Log& log_;
  const std::uint64_t group_bytes_;
  journal::ActivityFile file_;

  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  bool usable_{false};
  bool failed_{false};  ///< the journal cannot be written
  bool refused_{false};  ///< by the disk, which may have room again
  bool busy_{false};    ///< somebody uses file_
  std::uint32_t epoch_{0};
  std::array<std::uint32_t, 2> in_flight_{};  ///< calls by epoch % 2
  std::unordered_map<std::uint64_t, Noted> noted_{};
  journal::Activity current_{};
  journal::Activity older_{};  ///< before the checkpoint that is not confirmed
  bool rotated_{false};
  std::vector<journal::ActivityEntry> pending_{};
  std::uint64_t batch_{1};  ///< number of `pending_`
  std::uint64_t durable_{0};
};

}  // namespace safekit::replica
