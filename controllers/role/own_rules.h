#pragma once

#include <array>
#include <string_view>

#include "controllers/role/sync_at.h"

/// Labels of the rules of role's own that hold a node in WAIT (spec/runtime.md 3.5, and three of this product).
namespace safekit::role {

inline constexpr std::string_view kNotUpToDate = "notuptodate_server";
inline constexpr std::string_view kFirstStart = "first_start";
inline constexpr std::string_view kNotEmpty = "not_empty";
inline constexpr std::string_view kAddressInUse = "address_in_use";
inline constexpr std::string_view kFailoverOff = "failover-off";
/// A default rule of failover's (spec/runtime.md 3.5): the witness does not let this node be active without its peer.
inline constexpr std::string_view kSplitBrainFailure = "splitbrain_failure";
inline constexpr std::array kOwnRules{kNotUpToDate, kFirstStart, kNotEmpty, kAddressInUse, kFailoverOff, kSyncAtWait};

}  // namespace safekit::role
