#pragma once

#include <string>
#include <string_view>

#include "datapath/control/message.h"
#include "schema/base/time.h"
#include "schema/status/module.h"

/// How the next synchronisation is to be made, as a person chose it (`safekit rfssync`, `safekit secondforce`). It holds until one has
/// ended. All pure. Source: spec/operations.md 1.11; docs/resync.md.
namespace safekit::replication {

/// What is kept of a choice.
struct Policy {
  control::SyncPolicy chosen{};     ///< number 0: the default
  std::uint64_t operation{0};       ///< waits until the replica has acted upon it; 0: none
  friend bool operator==(const Policy&, const Policy&) = default;
};

/// `argument` as in store::kRfsSync; `role` of the module on this node. The number is the time. Errors: Invalid, Conflict, for people.
Result<Policy> choose_policy(std::string_view argument, status::Role role, WallTime wall, MonoTime mono, std::uint64_t operation);

/// What a report of the replica makes of it.
struct PolicyStep {
  Policy next{};
  std::string outcome{};  ///< of the operation that waited, if any did
  std::string line{};     ///< for the module's log
  friend bool operator==(const PolicyStep&, const PolicyStep&) = default;
};
[[nodiscard]] PolicyStep step_policy(const Policy& policy, const control::Report& report);

/// Fills what the section says of it. `report`: of the replica, null where there is none.
void show_policy(const Policy& policy, const control::Report* report, status::ReplicationSection& section);

/// Text and back; the default for a text that cannot be read.
[[nodiscard]] std::string encode(const Policy& policy);
[[nodiscard]] Policy decode_policy(const std::string& text);

}  // namespace safekit::replication
