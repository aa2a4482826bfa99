#pragma once

#include <atomic>
#include <cstdint>

#include "schema/base/time.h"

namespace safekit::replica {

/// Until when this node has promised not to act as primary (docs/wire.md, "Promises"). It outlives the role that promises, which
/// notes each one before it is told. Thread: any.
class PromiseBook {
 public:
  /// Longer by as much as the clocks of two nodes may differ (PeerRight).
  void note(MonoTime heard, Duration length) {
    const MonoTime until = heard + length + length / 500;
    std::int64_t before = until_.load();
    while (before < until.ns && !until_.compare_exchange_weak(before, until.ns)) {
    }
  }
  [[nodiscard]] MonoTime until() const { return MonoTime{until_.load()}; }

 private:
  std::atomic<std::int64_t> until_{INT64_MIN};
};

}  // namespace safekit::replica
