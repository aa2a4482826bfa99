#pragma once

#include <malloc.h>

namespace safekit::linux_os {

/// After work that needed much memory once: what was freed goes back to the kernel, which the allocator else keeps for each thread
/// that took part. Takes milliseconds for each 100 MiB; other threads that allocate may wait. malloc_trim(3).
inline void give_back_memory() { (void)::malloc_trim(0); }

}  // namespace safekit::linux_os
