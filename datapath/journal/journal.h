#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "datapath/journal/activity_log.h"
#include "datapath/journal/data_generations.h"
#include "datapath/journal/zone_map.h"
#include "schema/base/bytes.h"
#include "schema/base/result.h"

namespace safekit::journal {

/// Until when all that was done to this copy was done by us (docs/resync.md, "Changed while it was stopped"). A value.
struct Watched {
  std::int64_t until{0};    ///< who changes an inode later gives it a ctime from here on; ns, 0: not known
  std::int64_t setting{0};  ///< of the clock then (linux_os::FileMoment)
  std::string boot{};       ///< then
  bool left{false};         ///< the role was left in order then: nothing was done by us since
  /// What others had done before may not have reached the peer, nor the zone map: `until` stands still.
  bool unsettled{false};
  friend bool operator==(const Watched&, const Watched&) = default;
};

/// What one copy must remember across stop and crash (runtime.md 1.3). A value.
struct State {
  DataGenerations generations{};
  std::string peer{};             ///< the node this copy was last synchronised with
  bool up_to_date{false};         ///< may be promoted
  bool inconsistent{false};       ///< a synchronisation of this copy was begun and has not ended
  bool ever_synchronised{false};
  bool last_primary{false};
  /// This copy holds exactly what its generation (and zone map) says: it was left in order. False while primary, where
  /// the local disk may be ahead of what anybody knows.
  bool exact{false};
  /// As a secondary it is exact as long as the page cache of this boot lives: applied is not yet on disk.
  std::string exact_in_boot{};
  /// Not exact, yet known but for what logs of activity name (docs/resync.md, "After a crash"). `base_log`: as a secondary
  /// this copy was on disk with all before that checkpoint of the primary's log. `own_log`: what it did as a primary since is
  /// in its own log. Both none: nothing is known.
  LogPoint base_log{};
  LogPoint own_log{};
  Watched watched{};
  bool full_wanted{false};        ///< the next synchronisation must compare everything
  /// As a secondary: the next synchronisation looks only into files that were changed since then; ns of 1970, 0: into all.
  std::int64_t since{0};
  /// The backup from which the other copy is made, or this one was (resync/backup.h); empty: none.
  std::string backup{};
  std::uint64_t policy{0};        ///< number of the last choice of a person that was acted upon (control::SyncPolicy)
  /// The last consistent copy lies beside each directory (replica/kept_copies.h); Returning: and is taking its place.
  enum class Kept : std::uint8_t { None, Kept, Returning };
  Kept kept{Kept::None};
  friend bool operator==(const State&, const State&) = default;
};

[[nodiscard]] Bytes encode(const State& state);
Result<State> decode_state(BytesView bytes);

/// Files of one replica in its state directory: `journal` (State), `zones` (after an orderly stop only), `rules`.
/// Errors: Io; Corrupt or Unsupported for a file that this program must not touch. Thread: any. A service.
class Journal {
 public:
  explicit Journal(std::string directory) : directory_(std::move(directory)) {}
  /// Makes the directory when missing; locks it against a second replica (Conflict).
  Status open();
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] State state() const;
  /// Durable when it returns. No write when nothing changes.
  Status update(const std::function<void(State&)>& change);

  /// Which entries were not replicated when this copy was last primary, as a digest. 0 before the first `keep_rules`.
  Result<std::uint64_t> rules();
  Status keep_rules(std::uint64_t digest);

  Status save_zones(const ZoneMap& map);
  /// Nothing where there is none that fits the current generation. The file is gone afterwards, so that a map is never
  /// used twice.
  Result<std::optional<ZoneMap>> take_zones();
  /// The same, and the file stays: for who only looks at what this copy wrote itself.
  [[nodiscard]] std::optional<ZoneMap> see_zones() const;

 private:
  std::string directory_{};
  int lock_{-1};
  mutable std::mutex mutex_{};
  State state_{};
};

}  // namespace safekit::journal
