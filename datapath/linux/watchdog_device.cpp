#include "datapath/linux/watchdog_device.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

namespace safekit::linux_os {
namespace {

/// The character that announces an end on purpose; a driver with `nowayout` takes no notice of it.
constexpr char kMagicClose = 'V';
constexpr unsigned kMiscMajor = 10;
constexpr unsigned kMiscMinor = 130;  ///< /dev/watchdog, the old name of watchdog0

bool has_no_way_out(int device) {
  struct stat node {};
  if (::fstat(device, &node) != 0) return false;
  const bool is_old_name = major(node.st_rdev) == kMiscMajor && minor(node.st_rdev) == kMiscMinor;
  const std::string directory = is_old_name ? "/sys/class/watchdog/watchdog0"
                                            : fmt::format("/sys/dev/char/{}:{}", major(node.st_rdev), minor(node.st_rdev));
  char value = '0';
  std::ifstream{directory + "/nowayout"} >> value;
  return value == '1';
}

Error failed(const std::string& path, std::string_view what, int number) {
  const Code code = number == ENOENT || number == ENODEV || number == ENXIO ? Code::NotFound
                    : number == EBUSY                                       ? Code::Conflict
                    : number == ENOTTY                                      ? Code::Unsupported
                                                                            : Code::Io;
  if (number == EBUSY) return Error{code, fmt::format("'{}' is in use by another program (systemd's RuntimeWatchdogSec, watchdog, sbd)", path)};
  if (number == ENOTTY) return Error{code, fmt::format("'{}' is not a watchdog", path)};
  return Error{code, fmt::format("'{}' {}: {}", path, what, std::strerror(number))};
}

}  // namespace

Result<Watchdog::Counting> WatchdogDevice::begin(Duration limit) {
  struct stat node {};
  if (::stat(path_.c_str(), &node) != 0) return failed(path_, "cannot be opened", errno);
  if (!S_ISCHR(node.st_mode)) return failed(path_, "", ENOTTY);
  Fd device{::open(path_.c_str(), O_WRONLY | O_CLOEXEC)};
  if (!device) return failed(path_, "cannot be opened", errno);
  int seconds = static_cast<int>(std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(limit).count()));
  // Some have one fixed limit, and say so.
  if (::ioctl(device.get(), WDIOC_SETTIMEOUT, &seconds) != 0 && ::ioctl(device.get(), WDIOC_GETTIMEOUT, &seconds) != 0) {
    const int number = errno;
    (void)!::write(device.get(), &kMagicClose, 1);
    return failed(path_, "tells no time-out", number);
  }
  can_be_ended_ = !has_no_way_out(device.get());
  device_ = std::move(device);
  if (const auto fed = feed(); !fed) {
    (void)end();
    device_.reset();
    return fed.error();
  }
  return Counting{.limit = std::chrono::seconds{seconds}, .can_be_ended = can_be_ended_};
}

Status WatchdogDevice::feed() {
  // Every driver has this; not every one WDIOC_KEEPALIVE.
  if (::write(device_.get(), "", 1) != 1) return failed(path_, "cannot be fed", errno);
  return {};
}

Status WatchdogDevice::end() {
  if (!can_be_ended_) return Error{Code::Unsupported, fmt::format("'{}' cannot be stopped (nowayout)", path_)};
  if (::write(device_.get(), &kMagicClose, 1) != 1) return failed(path_, "cannot be stopped", errno);
  device_.reset();
  return {};
}

}  // namespace safekit::linux_os
