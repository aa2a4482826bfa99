#pragma once

#include <optional>
#include <string>

#include "schema/base/time.h"
#include "schema/spec/boot.h"

/// Starts modules once after each boot of the machine (spec/runtime.md 1.13). A new safekitd on a machine
/// that has not been booted since starts nothing: what runs goes on, what was stopped stays stopped.
namespace safekit::boot {

struct Desired {
  spec::Boot boot{};
  std::optional<bool> command{};  ///< `safekit boot on|off`: over-rules the policy
  friend bool operator==(const Desired&, const Desired&) = default;
};

struct Observed {
  std::string boot_id{};  ///< of the machine now
  std::optional<std::string>
      handled{};               ///< the boot for which this was decided last; nothing: never, a new module
  bool ran_before{false};      ///< it was started before the reboot, and not stopped
  bool stopped{true};          ///< the role is STOP
  Duration since_boot_seen{};  ///< since this daemon came up
  friend bool operator==(const Observed&, const Observed&) = default;
};

struct Plan {
  bool start{false};
  bool handled{false};  ///< this boot is done with; note it together with the start
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

[[nodiscard]] bool wants_start(const Desired& desired, bool ran_before);
[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed);

}  // namespace safekit::boot
