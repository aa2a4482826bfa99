#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datapath/wire/message.h"

namespace safekit::replica {

/// Where two copies differ, and in what (wire::Differs).
struct CopyDifference {
  wire::TreePath at{};
  std::uint16_t differs{0};
  friend bool operator==(const CopyDifference&, const CopyDifference&) = default;
};
/// `mode, owner`; in the order of wire::Differs. Pure.
[[nodiscard]] std::string differs_text(std::uint16_t differs);

/// What the next synchronisation would send, by what is marked.
struct SyncEstimate {
  bool everything{false};     ///< all would be compared: what differs is not known
  std::uint64_t files{0};     ///< that have marks
  std::uint64_t directories{0};  ///< whose entries would be listed
  std::uint64_t bytes{0};     ///< would be copied
  std::uint64_t compared{0};  ///< bytes that would be compared by digests, and copied where they differ
  bool compares_more{false};  ///< and what lies in some directories, whose size is not known
  std::uint64_t bytes_per_second{0};  ///< of the last synchronisation; 0: not known
  friend bool operator==(const SyncEstimate&, const SyncEstimate&) = default;
};

/// A look at the copies that was asked for: how it goes and what it has found. A value.
struct Inspection {
  enum class Kind : std::uint8_t { Verify, Estimate };
  enum class Cause : std::uint8_t { Asked, Schedule, Resync };
  enum class State : std::uint8_t { Running, Done, Failed };
  std::uint64_t number{0};  ///< of the one who asked; 0: nothing was asked for
  Kind kind{Kind::Verify};
  Cause cause{Cause::Asked};
  State state{State::Running};
  std::string reason{};  ///< Failed: why. Done, of a Resync: what is done about the differences
  // Verify:
  std::uint64_t files{0};  ///< anything that is no directory
  std::uint64_t directories{0};
  std::uint64_t bytes{0};  ///< digested
  bool ended_early{false};  ///< there are more differences than are listed
  std::vector<CopyDifference> differences{};
  SyncEstimate estimate{};
  friend bool operator==(const Inspection&, const Inspection&) = default;
};

/// What has to be synchronised again, as a log of activity would name it: an inode itself, or the directory in which an entry is
/// another one or not there. Pure.
[[nodiscard]] std::vector<wire::ActiveEntry> to_entries(const std::vector<CopyDifference>& differences);

/// What is asked for.
struct InspectionOrder {
  std::uint64_t number{0};
  Inspection::Kind kind{Inspection::Kind::Verify};
  Inspection::Cause cause{Inspection::Cause::Asked};
  std::uint64_t bytes_per_second{0};  ///< of a verification, on each node; 0: no limit
};
/// May the newcomer end the one that is under way? Pure.
[[nodiscard]] constexpr bool gives_way(Inspection::Cause under_way, Inspection::Cause newcomer) {
  using Cause = Inspection::Cause;
  return newcomer == Cause::Resync || (under_way == Cause::Schedule && newcomer == Cause::Asked);
}

}  // namespace safekit::replica
