#pragma once

#include "schema/base/time.h"

namespace safekit::linux_os {

/// How somebody waits for what comes soon after the last: being woken for it may take longer than the wait. It looks again and again, and
/// offers its processor to others between two looks. It sleeps where the last wait was long, and when somebody else has taken the
/// processor. A value; time is given.
class AwakeWait {
 public:
  /// Who waited longer for the last sleeps at once; who has looked for so long sleeps as well.
  static constexpr Duration kShort = microseconds{400};
  /// The processor came back only after so long: there is work for it.
  static constexpr Duration kTaken = microseconds{100};

  void begin(MonoTime now) { begun_ = now; }
  /// Whether to offer the processor, and to look once more.
  [[nodiscard]] bool goes_on(MonoTime now) {
    offered_ = now;
    return was_short_ && now - begun_ < kShort;
  }
  /// After it was offered: whether to look.
  [[nodiscard]] bool has_processor(MonoTime now) const { return now - offered_ < kTaken; }
  /// It has come, or will not.
  void end(MonoTime now) { was_short_ = now - begun_ < kShort; }

 private:
  MonoTime begun_{};
  MonoTime offered_{};
  bool was_short_{false};
};

}  // namespace safekit::linux_os
