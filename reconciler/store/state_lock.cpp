#include "reconciler/store/state_lock.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace safekit::store {

Result<StateLock> StateLock::take(const std::string& directory) {
  std::error_code error;
  if (std::filesystem::create_directories(directory, error)) ::chmod(directory.c_str(), 0700);
  if (error) {
    return Error{Code::Io, fmt::format("state directory '{}' cannot be made: {}", directory, error.message())};
  }
  const std::string path = directory + "/safekitd.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{Code::Io, fmt::format("'{}': {}", path, std::strerror(errno))};
  StateLock lock{fd};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error{Code::Io, fmt::format("'{}': {}", path, std::strerror(errno))};
    std::array<char, 32> text{};
    const ssize_t size = ::pread(fd, text.data(), text.size() - 1, 0);
    const std::string holder{text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    return Error{Code::Conflict,
                 fmt::format("state directory '{}' is in use by another safekitd (pid {}): stop that one first, or use "
                             "another state directory",
                             directory, holder.empty() ? "unknown" : holder)};
  }
  // The pid is only for the message above; the lock does not depend on it, also not on a full disk.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, pid.data(), pid.size(), 0);
  return lock;
}

StateLock::~StateLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace safekit::store
