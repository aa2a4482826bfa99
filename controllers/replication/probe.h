#pragma once

#include <optional>

#include "schema/base/time.h"
#include "schema/port/process.h"

/// Does the replicated file system of a primary still answer? Asked by a process of its own, since who asks one that does not
/// answer hangs, and cannot be ended. Pure. Source: spec/runtime.md 5.7.
namespace safekit::replication {

struct Probe {
  std::optional<ProcessIdentity> process{};  ///< asks and has not ended
  MonoTime begun{};                          ///< when it was started, or the primary role was reached
  bool serving{false};
  bool hung{false};  ///< it was not answered in time; until it is, or the replica's process has ended
  friend bool operator==(const Probe&, const Probe&) = default;
};

struct ProbeInput {
  bool replica{false};  ///< its process runs; false at least once between two of them
  bool serving{false};  ///< it is settled as primary
  Duration timeout{};
  Duration interval{};
};

/// `start`: the next one is due.
struct ProbeStep {
  Probe next{};
  bool start{false};
  std::optional<Duration> recheck_after{};
  friend bool operator==(const ProbeStep&, const ProbeStep&) = default;
};
[[nodiscard]] ProbeStep step_probe(const Probe& probe, const ProbeInput& input, MonoTime now);

}  // namespace safekit::replication
