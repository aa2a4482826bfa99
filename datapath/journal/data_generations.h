#pragma once

#include <string_view>
#include <vector>

#include "schema/base/ids.h"

namespace safekit::journal {

inline constexpr std::size_t kHistoryMax = 16;

/// Which writes a copy has seen (design.md 6). A value; generation 0 means "none".
struct DataGenerations {
  DataGeneration current{};
  DataGeneration base{};  ///< what the peer had when it was left behind; 0 while the peer has all
  std::vector<DataGeneration> history{};  ///< earlier current ones, newest first
  friend bool operator==(const DataGenerations&, const DataGenerations&) = default;
};

enum class Relation {
  BothNew,        ///< neither has a generation
  Same,           ///< the same writes
  PeerIsBase,     ///< the peer has exactly what this copy had when it was left behind: zones tell the difference
  PeerIsOlder,    ///< the peer has an earlier generation of this copy, or none
  MineIsOlder,    ///< this copy has an earlier generation of the peer, or none
  Diverged,       ///< both accepted writes after what they had in common
  Unrelated,      ///< nothing in common
};
[[nodiscard]] std::string_view to_string(Relation relation);

/// What two copies are to each other. Pure.
[[nodiscard]] Relation compare(const DataGenerations& mine, const DataGenerations& peer);

/// The copy takes writes without its peer from now on: `fresh` becomes the current generation.
void begin_alone(DataGenerations& generations, DataGeneration fresh);
/// The peer has all again.
void end_alone(DataGenerations& generations);
/// This copy has become equal to the peer's.
void take_over(DataGenerations& mine, DataGeneration current, std::vector<DataGeneration> history);

}  // namespace safekit::journal
