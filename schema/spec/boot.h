#pragma once

#include "schema/base/time.h"

namespace safekit::spec {

/// On: start at boot. Off: never. Auto: if it ran before the reboot. Ignore: only `safekit boot` decides.
enum class BootPolicy { On, Off, Auto, Ignore };

/// `boot`, `boot_delay`. A value.
struct Boot {
  BootPolicy policy{BootPolicy::Ignore};
  Duration delay{};
  friend bool operator==(const Boot&, const Boot&) = default;
};

}  // namespace safekit::spec
