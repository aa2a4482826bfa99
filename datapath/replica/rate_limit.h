#pragma once

#include <cstdint>

#include "schema/base/time.h"

namespace safekit::replica {

/// Holds a stream of content to so many bytes a second on average. What is sent is spent, also beyond what there is; the next piece
/// waits until that is made up for. Nothing is saved up while there is nothing to send. Pure; the owner locks.
class RateLimit {
 public:
  /// 0: no limit. What is owed is forgotten when it changes.
  void set(std::uint64_t bytes_per_second);
  void spend(std::uint64_t bytes, MonoTime now);
  /// How long the next piece has to wait.
  [[nodiscard]] Duration owed(MonoTime now) const;

 private:
  std::uint64_t rate_{0};
  MonoTime free_{};  ///< from here on nothing is owed
};

}  // namespace safekit::replica
