#pragma once

#include <sys/resource.h>
#include <unistd.h>

namespace safekit::linux_os {

/// The calling thread gets a processor when nobody else wants it, but for a small share: what it does can wait, what an application
/// waits for cannot. Only speed depends on it, so a refusal is no error. setpriority(2): on Linux of a thread.
inline void work_in_background() {
  constexpr int kNice = 10;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
}

}  // namespace safekit::linux_os
