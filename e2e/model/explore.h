#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "e2e/model/world.h"

namespace safekit::model {

/// Hashes, open addressing; two states of one hash in 64 bits are taken for one (at 10^8 states: one chance in 4,000). Never 0.
class HashSet {
 public:
  HashSet() : slots_(1 << 16) {}
  /// Whether it was new.
  bool insert(std::uint64_t hash);
  [[nodiscard]] bool contains(std::uint64_t hash) const;
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::vector<std::uint64_t> slots_;
  std::size_t size_{0};
};

struct Limits {
  std::size_t states_max{20'000'000};
  std::uint32_t depth_max{UINT32_MAX};
  bool from_pair{false};  ///< it begins with PRIM and SECOND; else with both stopped
  bool settles{true};  ///< also: every state heals, and every stop ends
};

struct Found {
  std::size_t states{0};
  std::size_t transitions{0};
  std::size_t settled{0};     ///< states on the way of those that heal or stop
  std::uint32_t depth{0};     ///< the last one of which every state was looked at
  bool closed{false};         ///< there are no others
  std::string broken{};       ///< which promise; empty: none
  std::vector<std::string> trace{};  ///< the shortest way there
};

/// Every state that can be reached, breadth first: promises of data at each step (World::step), and from each state
/// - healed, with every stopped module started again, the pair comes back; or no copy is whole and both wait for a person;
/// - `stop` ends in STOP on each node, with the faults as they are, and `forcestop` even if no script ever ends.
/// Both by one schedule in which everything that can happen does, in turn: a way there exists, and a fair one takes it.
[[nodiscard]] Found explore(World& world, const Limits& limits);

}  // namespace safekit::model
