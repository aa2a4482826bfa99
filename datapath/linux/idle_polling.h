#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "datapath/linux/fd.h"
#include "schema/base/time.h"
#include "schema/port/log.h"

namespace safekit::linux_os {

/// When processors are to stay awake: while calls come at a rate at which waking one for each would cost more than it saves. A value.
class IdlePollRule {
 public:
  static constexpr Duration kStep = milliseconds{10};
  static constexpr std::size_t kSteps = 5;
  static constexpr std::uint64_t kCallsMin = 20;  ///< in kSteps: 400 a second; half of that to go on

  /// `calls`: in the step that has just ended. Whether to poll in the next.
  bool step(std::uint64_t calls);
  /// No call in the last kSteps.
  [[nodiscard]] bool is_quiet() const;

 private:
  std::array<std::uint64_t, kSteps> calls_{};
  std::size_t next_{0};
  bool polls_{false};
};

/// What to ask of the idle processors, in microseconds until they are awake: by the kernel's driver of them
/// (/sys/devices/system/cpu/cpuidle/current_driver). Nothing where there is none: asking changes nothing then. Pure.
[[nodiscard]] std::optional<std::int32_t> latency_to_ask(std::string_view driver);

/// Asks the kernel to keep idle processors awake while calls come one after another, so that nobody who is woken for one waits until
/// a processor is (docs/kernels.md, "Processors that stay awake"). The kernel forgets it when this process ends, however it does.
/// A service with a thread of its own, which sleeps while there are no calls. Without the right to ask only speed is lost.
class IdlePolling {
 public:
  struct Places {
    std::string device{"/dev/cpu_dma_latency"};
    std::string driver{"/sys/devices/system/cpu/cpuidle/current_driver"};
  };
  explicit IdlePolling(Log& log) : IdlePolling(log, Places{}) {}
  IdlePolling(Log& log, Places places);
  ~IdlePolling();
  IdlePolling(const IdlePolling&) = delete;
  IdlePolling& operator=(const IdlePolling&) = delete;

  /// Not allowed in the beginning. Thread: any.
  void allow(bool allowed) { allowed_ = allowed; }
  [[nodiscard]] bool is_allowed() const { return allowed_; }
  /// Somebody was woken for a call, and more may come. Thread: any; cheap.
  void note() {
    if (!allowed_) return;
    ++calls_;
    if (asleep_) wake();
  }

 private:
  void wake();
  void run();
  void hold(bool held);

  Log& log_;
  const Places places_;
  std::atomic<bool> allowed_{false};
  std::atomic<std::uint64_t> calls_{0};
  std::atomic<bool> asleep_{false};
  std::mutex mutex_{};
  std::condition_variable wake_{};
  bool ended_{false};

  // Of the thread:
  Fd request_{};  ///< open: the kernel has been asked
  bool impossible_{false};
  std::thread thread_{};
};

}  // namespace safekit::linux_os
