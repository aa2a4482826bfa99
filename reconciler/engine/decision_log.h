#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "schema/base/time.h"

namespace safekit::engine {

/// The last inputs and plans of each controller and key, as text in the form of its golden cases: a defect from the
/// field becomes a test by copying one. Bounded in keys, entries and bytes; the oldest go first. Thread: the loop's.
class DecisionLog {
 public:
  struct Entry {
    WallTime time{};
    std::string text{};
    std::uint64_t repeated{1};  ///< how often the same decision was taken in a row
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  void record(std::string_view controller, const std::string& key, WallTime time, std::string text);
  /// Oldest first.
  [[nodiscard]] std::vector<Entry> of(std::string_view controller, const std::string& key) const;

  static constexpr std::size_t kEntriesMaxPerKey = 16;
  static constexpr std::size_t kKeysMax = 1024;
  static constexpr std::size_t kTextBytesMax = 32 * 1024;

 private:
  std::map<std::pair<std::string, std::string>, std::deque<Entry>> entries_{};
};

}  // namespace safekit::engine
