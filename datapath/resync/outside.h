#pragma once

#include <cstdint>
#include <string>

#include "datapath/journal/journal.h"
#include "datapath/linux/clock.h"

/// What others may have changed in a copy while it was not served. All pure. Source: docs/resync.md, "Changed while it was
/// stopped".
namespace safekit::resync {

/// Where to look for it at a start.
struct Scope {
  enum class Look : std::uint8_t {
    Nowhere,     ///< there is no other copy yet
    Changed,     ///< at inodes that were changed since `since`
    Everywhere,  ///< it cannot be told from the inodes: `why`
  };
  Look look{Look::Nowhere};
  std::int64_t since{0};
  bool by_others{false};  ///< nothing was served since then; else what the copy did itself before it was lost is found too
  std::string why{};
  friend bool operator==(const Scope&, const Scope&) = default;
};
/// `exact`: of the copy at this start (replica::is_exact).
[[nodiscard]] Scope scope_of(const journal::State& state, bool exact, const linux_os::FileMoment& now, const std::string& boot);

/// A ctime, as an inode has it.
struct Stamp {
  std::int64_t seconds{0};
  std::uint32_t nanoseconds{0};
};
/// On file systems that keep whole seconds only, all of the second counts.
[[nodiscard]] bool is_since(const Stamp& changed, std::int64_t since);

/// All that was done to the copy up to `now` was done by us. Not noted while something found before is unsettled.
void watch_until(journal::State& state, const linux_os::FileMoment& now, const std::string& boot);
/// The peer has, or the zone map names, what others had done; and as above.
void settle(journal::State& state, const linux_os::FileMoment& now, const std::string& boot);

}  // namespace safekit::resync
