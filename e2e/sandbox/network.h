#pragma once

#include "e2e/sandbox/state.h"
#include "schema/base/result.h"

namespace safekit::sandbox {

/// The bridges of the running switch; those that are there already stay.
[[nodiscard]] Status make_bridges(const State& state);
/// Plugs a running member into every bridge it has an address on, and applies the cuts that are recorded.
[[nodiscard]] Status connect_member(const State& state, std::size_t member);
/// Pulls all cables of a member: what it still sends reaches nobody.
[[nodiscard]] Status disconnect_member(const State& state, std::size_t member);
/// Removes the cables, so that they are gone now and not when the kernel gets to it.
[[nodiscard]] Status remove_cables(const State& state, std::size_t member);
/// Until every plugged and uncut cable carries frames: the kernel enables bridge ports up to a second late.
[[nodiscard]] Status wait_for_links(const State& state);
/// Brings the switch to the recorded cuts of this member.
[[nodiscard]] Status apply_cuts(const State& state, std::size_t member);

}  // namespace safekit::sandbox
