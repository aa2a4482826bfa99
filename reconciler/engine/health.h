#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "schema/base/time.h"

namespace safekit::engine {

/// How many durations fell between powers of two of a microsecond. A value.
class Histogram {
 public:
  void add(Duration duration);
  /// The upper end of the bucket below which `percent` of all durations lie; 0 without any.
  [[nodiscard]] Duration percentile(int percent) const;
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration total() const { return total_; }
  [[nodiscard]] Duration longest() const { return longest_; }

 private:
  std::array<std::uint64_t, 40> buckets_{};
  std::uint64_t count_{0};
  Duration total_{};
  Duration longest_{};
};

struct ControllerHealth {
  std::uint64_t passes{0};
  std::uint64_t failures{0};
  std::uint64_t over_deadline{0};
  Histogram waited{};  ///< from due to begun
  Histogram took{};    ///< the pass itself
  std::map<std::string, std::string> failing{};  ///< key to its last error, while it fails
};

/// Which controller is late or failing, for metrics and the watchdog. Thread: the loop's.
class Health {
 public:
  struct Pass {
    std::string_view controller{};
    const std::string& key;
    Duration waited{};
    Duration took{};
    bool over_deadline{false};
    std::string error{};  ///< empty: it went well
  };
  void note(const Pass& pass);
  [[nodiscard]] const std::map<std::string, ControllerHealth, std::less<>>& controllers() const { return controllers_; }
  /// One line each, for people: `role 'db': 'witness' is away`.
  [[nodiscard]] std::vector<std::string> problems() const;

 private:
  std::map<std::string, ControllerHealth, std::less<>> controllers_{};
};

}  // namespace safekit::engine
