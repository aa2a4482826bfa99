// Preloaded into every program of one sandbox node (/etc/ld.so.preload there), it moves that node's wall clock: there is no
// namespace for it. The offset in seconds is in a file that is mapped, so that a running program sees the clock jump.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>

namespace {

constexpr const char* kOffsetFile = "/etc/safekit-e2e/clock-offset";

std::int64_t offset() {
  static const volatile std::int64_t* const mapped = []() -> const std::int64_t* {
    const int fd = ::open(kOffsetFile, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nullptr;
    void* const place = ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    return place == MAP_FAILED ? nullptr : static_cast<const std::int64_t*>(place);
  }();
  return mapped == nullptr ? 0 : *mapped;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long code = ::syscall(SYS_clock_gettime, clock, time);
  if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset();
  return static_cast<int>(code);
}

extern "C" int gettimeofday(timeval* time, void*) noexcept {
  timespec now{};
  const int code = clock_gettime(CLOCK_REALTIME, &now);
  *time = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return code;
}

extern "C" time_t time(time_t* place) noexcept {
  timespec now{};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  if (place != nullptr) *place = now.tv_sec;
  return now.tv_sec;
}

/// A program built with AddressSanitizer wants its runtime to be the first library; this one comes before it.
extern "C" const char* __asan_default_options();  // NOLINT: the name is the runtime's
extern "C" const char* __asan_default_options() { return "verify_asan_link_order=0"; }
