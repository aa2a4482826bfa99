#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "datapath/journal/journal.h"
#include "datapath/linux/write_watch.h"
#include "datapath/replica/exclusion.h"
#include "datapath/replica/handle.h"
#include "datapath/replica/outside_changes.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"

namespace safekit::replica {

/// What others did to the copy of a secondary since the role was taken up. A value, for reports.
struct OutsideWrites {
  std::uint64_t count{0};  ///< changes that were found; 0: none
  std::string last{};      ///< `'/data/x' by vi (pid 7)`
  friend bool operator==(const OutsideWrites&, const OutsideWrites&) = default;
};

/// When the copies are to meet again, so that what was found is compared and copied. Pure.
/// First kCompareAfter after something was found (more may follow), then at most every kCompareEvery: each time the application
/// waits for a moment, and somebody may go on writing.
struct CompareTimes {
  std::optional<MonoTime> found{};     ///< the first one that the primary has not been told of
  std::optional<MonoTime> compared{};  ///< the last time
};
inline constexpr Duration kCompareAfter = seconds{1};
inline constexpr Duration kCompareEvery = seconds{60};
[[nodiscard]] std::optional<MonoTime> compare_at(const CompareTimes& times);

/// Finds what somebody else writes to the copy of a secondary round the read-only mount over it, and notes it for the next meeting
/// with the primary, in the journal first. Needs a kernel and file system that tell (linux_os::WriteWatch).
/// Events are read kGather after the first one: the kernel merges those of one process and inode meanwhile. What this process did,
/// and what is not in the trees or not replicated, is dropped. Thread: its own; `drain` and `found` from any. A service.
class OutsideWatch {
 public:
  struct Options {
    std::vector<int> roots{};          ///< of the trees, opened in mounts of their own; longer-lived
    std::vector<std::string> paths{};  ///< for people
    Exclusions exclusions{};
    bool compares{true};  ///< asks for a meeting
  };
  struct Tasks {
    std::function<void()> changed{};  ///< `found` has
    std::function<bool()> compare{};  ///< the copies are to meet; false: not now
  };
  OutsideWatch(Options options, std::shared_ptr<OutsideChanges> outside, journal::Journal& journal, const Clock& clock, Log& log,
               Tasks tasks);
  ~OutsideWatch();
  OutsideWatch(const OutsideWatch&) = delete;
  OutsideWatch& operator=(const OutsideWatch&) = delete;

  /// Errors: Unsupported where the kernel cannot tell: nothing is watched then.
  Status start();
  /// All that was done before the call is noted after it, or is when the thread has ended.
  void drain();
  void stop();
  [[nodiscard]] OutsideWrites found() const;

  static constexpr Duration kGather = milliseconds{100};
  static constexpr Duration kTellEvery = seconds{1};
  static constexpr Duration kLookEvery = milliseconds{200};  ///< for what is due, while something is
  static constexpr std::size_t kToldMax = 100;        ///< lines of the log between two meetings
  static constexpr std::size_t kElsewhereMax = 4096;  ///< directories known not to lie in the trees
  static constexpr std::size_t kInsideMax = 64;       ///< descriptors

 private:
  struct At {
    std::uint32_t root{0};
    std::string path{};  ///< of the directory, below the root
    Fd directory{};
  };
  void watch(const std::stop_token& stop);
  [[nodiscard]] bool await(const std::stop_token& stop);
  [[nodiscard]] bool compare(MonoTime now);
  bool read();
  void take(const linux_os::WriteEvent& event);
  void note(const linux_os::WriteEvent& event, const At& at);
  void note_unknown(const std::string& why);
  void tell(const std::string& path, pid_t pid);
  const At* place_of(const linux_os::WriteEvent& event);
  void keep();

  const Options options_;
  const std::shared_ptr<OutsideChanges> outside_;
  journal::Journal& journal_;
  const Clock& clock_;
  Log& log_;
  const Tasks tasks_;
  const pid_t own_;
  std::vector<Place> places_{};
  std::vector<std::uint64_t> file_systems_{};

  Fd poke_{};  ///< the thread is to look at what is due, or to end
  mutable std::mutex mutex_{};
  std::condition_variable_any wake_{};
  std::unique_ptr<linux_os::WriteWatch> watch_{};
  bool broken_{false};  ///< nothing can be read any more
  std::unordered_set<std::string> elsewhere_{};
  std::unordered_map<std::string, At> inside_{};  ///< directories of the trees that events of one reading name
  Outside batch_{};           ///< of one reading
  std::set<std::string> told_{};
  OutsideWrites now_{};
  OutsideWrites published_{};
  MonoTime published_at_{};
  CompareTimes times_{};
  std::jthread thread_{};
};

}  // namespace safekit::replica
