#pragma once

#include <cstdint>
#include <map>

namespace safekit::journal {

inline constexpr std::uint64_t kGroupZones = 64;       ///< zones that are noted as one
inline constexpr std::uint64_t kGroupsOfOneMax = 1ULL << 20;  ///< above it only "to the end" is noted

/// Groups of 64 zones of one file, any of which may differ. A value.
/// Shape: group g is bit g % 64 of word g / 64; and all from `from` on.
struct GroupSet {
  std::map<std::uint64_t, std::uint64_t> words{};
  std::uint64_t from{UINT64_MAX};

  /// `count` 0: to the end. True when that was not all in it already.
  bool add(std::uint64_t first, std::uint64_t count);
  void merge(const GroupSet& other);
  [[nodiscard]] bool contains(std::uint64_t group) const;
  [[nodiscard]] bool empty() const { return words.empty() && from == UINT64_MAX; }
  friend bool operator==(const GroupSet&, const GroupSet&) = default;
};

}  // namespace safekit::journal
