#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <utility>

#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/port/clock.h"

namespace safekit::replica {

/// Clones a directory with all below it into an empty one of the same file system, which nobody else uses; the original stands still.
/// Mounts below are not followed, and not cloned.
/// Errors: Unsupported where blocks cannot be shared and may not be copied, Timeout, Exhausted (no room, or too little of it left),
/// Unavailable when it was asked to stop, Io.
class TreeClone {
 public:
  struct Options {
    bool copies{false};  ///< where blocks cannot be shared
    MonoTime until{};
  };
  TreeClone(Options options, const Clock& clock, std::stop_token stop)
      : options_(options), clock_(clock), stop_(std::move(stop)) {}

  Status run(int from, int to);

 private:
  Status directory(int from, int to, const std::string& path);
  Status entry(int from, int to, const std::string& path, const std::string& name);
  Status file(int from, int to, const std::string& name);
  Status content(int from, int to, std::uint64_t size);
  Status check() const;

  Options options_{};
  const Clock& clock_;
  std::stop_token stop_{};
  int top_{-1};
  std::map<std::pair<dev_t, ino_t>, std::string> linked_{};  ///< path of the first name, of what has several
};

/// Makes `to` share the blocks of `from`, both of the same mount. Errors: Unsupported, Exhausted, Io.
Status share_content(int from, int to);

}  // namespace safekit::replica
