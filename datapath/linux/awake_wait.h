#pragma once

#include "schema/base/time.h"

namespace safekit::linux_os {

/// How somebody waits for what comes soon after the last: being woken for it may take longer than the wait. It looks again and again, and
/// offers its processor to others between two looks. It sleeps where the last wait was long, and for a while once somebody else has taken
/// the processor: where there is work, it would take from that. A value; time is given.
class AwakeWait {
 public:
  /// Who waited longer for the last sleeps at once; who has looked for so long sleeps as well.
  static constexpr Duration kShort = microseconds{400};
  /// The processor came back only after so long: there is work for it. So many waits are slept through then.
  static constexpr Duration kTaken = microseconds{60};
  static constexpr std::uint32_t kSleeps = 128;

  void begin(MonoTime now) { begun_ = now; }
  /// Whether to offer the processor, and to look once more.
  [[nodiscard]] bool goes_on(MonoTime now) {
    offered_ = now;
    return was_short_ && sleeps_ == 0 && now - begun_ < kShort;
  }
  /// After it was offered: whether to look.
  [[nodiscard]] bool has_processor(MonoTime now) {
    if (now - offered_ >= kTaken) sleeps_ = kSleeps;
    return sleeps_ == 0;
  }
  /// It has come, or will not.
  void end(MonoTime now) {
    was_short_ = now - begun_ < kShort;
    if (sleeps_ > 0) --sleeps_;
  }

 private:
  MonoTime begun_{};
  MonoTime offered_{};
  bool was_short_{false};
  std::uint32_t sleeps_{0};  ///< to come
};

}  // namespace safekit::linux_os
