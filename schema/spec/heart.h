#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::spec {

/// `<heartbeat>`: the heartbeat on one lan. What is unset is taken from Heart (defaults.h: pulse_of,
/// timeout_of).
struct Heartbeat {
  LanName lan{};
  std::string ident{};  ///< resource `heartbeat.<ident>`; empty: the lan's name (defaults.h: ident_of).
                        ///< `flow`: replication goes here
  std::optional<Duration> pulse{};
  std::optional<Duration> timeout{};
  std::vector<std::string> legacy_servers{};  ///< up to SafeKit 7.1: two addresses in place of `lan`
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

/// `<heart>`, mirror only. A value. The defaults here are those of YAML and JSON; XML keeps SafeKit's 700 ms
/// and 30 s.
struct Heart {
  std::optional<std::uint16_t> port{};  ///< UDP; unset: 8888 + (id - 1)
  Duration pulse{milliseconds{100}};
  Duration timeout{seconds{1}};
  bool permanent_arp{true};
  std::vector<Heartbeat> lans{};
  friend bool operator==(const Heart&, const Heart&) = default;
};

}  // namespace safekit::spec
