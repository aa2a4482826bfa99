#pragma once

#include <sys/resource.h>
#include <unistd.h>

namespace safekit::linux_os {

/// The priority of the calling thread, for work that can wait while an application cannot. In the background it gets a processor when
/// nobody else wants it, but for a small share. Only speed depends on it, so a refusal is no error. setpriority(2): on Linux of a thread.
class ThreadPriority {
 public:
  void set_background(bool background) {
    if (background_ == background) return;
    background_ = background;
    (void)::setpriority(PRIO_PROCESS, thread_, background ? kBackground : normal_);
  }

 private:
  static constexpr int kBackground = 10;
  const id_t thread_{static_cast<id_t>(::gettid())};
  const int normal_{::getpriority(PRIO_PROCESS, thread_)};
  bool background_{false};
};

}  // namespace safekit::linux_os
