#include "datapath/linux/random.h"

#include <sys/random.h>

#include <cerrno>

#include "schema/base/result.h"

namespace safekit::linux_os {

void SystemRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    SK_ASSERT(got > 0);  // weak keys would be worse than no daemon
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace safekit::linux_os
