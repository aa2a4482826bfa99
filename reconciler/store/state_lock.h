#pragma once

#include <string>
#include <utility>

#include "schema/base/result.h"

namespace safekit::store {

/// The right to use a state directory, held by one process at a time and given back by its end, however that comes
/// (flock(2)). A value that can only be moved.
class StateLock {
 public:
  /// Makes the directory (mode 0700) where it is missing. Errors: Conflict when another process holds it (its pid is
  /// named), Io.
  [[nodiscard]] static Result<StateLock> take(const std::string& directory);
  StateLock() = default;
  StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  StateLock& operator=(StateLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~StateLock();

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_{-1};
};

}  // namespace safekit::store
