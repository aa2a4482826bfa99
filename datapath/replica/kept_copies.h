#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/port/clock.h"
#include "schema/port/log.h"

namespace safekit::replica {

/// The last consistent copy of each replicated directory, beside it, while a synchronisation changes the directory itself: a clone of
/// the whole tree that shares its blocks. It can take the place of the directory again, by a rename.
/// Shape:   beside `/srv/data`: `.safekit-kept.data`; `.safekit-making.data` until it is whole; `.safekit-old.data` what it took
///          the place of. Only the first is of use to anybody.
/// Holds:   names, content, holes where they are shared, attributes, times of change, xattrs, hard links within the directory.
/// Errors:  Unsupported where it cannot be: a mount point, mounts within, a file system that cannot share; Timeout, Exhausted, Io.
/// Thread:  one at a time; a removal goes on in one of its own, and nobody waits for its end. A service.
/// Source:  docs/resync.md, "The last consistent copy".
class KeptCopies {
 public:
  struct Options {
    bool copies{false};  ///< where blocks cannot be shared
    Duration takes_max{};
  };
  KeptCopies(std::vector<std::string> paths, const Clock& clock, Log& log);
  /// Does not wait for the end of a removal: the next `drop` goes on with it.
  ~KeptCopies();
  KeptCopies(const KeptCopies&) = delete;
  KeptCopies& operator=(const KeptCopies&) = delete;

  [[nodiscard]] const std::vector<std::string>& paths() const { return paths_; }
  /// Can all of them be kept at no cost in room? Looks once.
  [[nodiscard]] bool can_share();
  /// All of them, on the disk when it returns, or none. Nobody may change the directories meanwhile.
  Status keep(const Options& options, const std::stop_token& stop);
  /// All of them are there.
  [[nodiscard]] bool are_kept();
  /// Those that are there take the place of their directories. To be called again, with nothing between, until it succeeds.
  Status put_back();
  /// They are not needed any more; removed in the background.
  void drop();
  /// What an earlier process has begun to make or to remove, in the background.
  void sweep();

 private:
  enum class Kept : std::uint8_t { Goes, Stays };
  void remove_later(Kept kept);
  void remove(Kept kept, const std::stop_token& stop);

  std::vector<std::string> paths_{};
  const Clock& clock_;
  Log& log_;
  std::optional<bool> can_share_{};
  std::jthread dropper_{};
};

}  // namespace safekit::replica
